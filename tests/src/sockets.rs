//! Sockets counted from outside, in every state but TIME-WAIT.
//!
//! A connection between two processes of one machine has two rows in the
//! kernel's table, one for each end. Here only the client's end is counted:
//! the one whose *remote* port is the server's. What the process has closed
//! but the kernel has not (FIN-WAIT and the like) belongs to no process any
//! more; such orphans are counted beside.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

/// Between two looks of a [`Sampler`].
const EVERY: Duration = Duration::from_millis(50);
const TIME_WAIT: u8 = 0x06;

/// One row of the kernel's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    local_port: u16,
    remote_port: u16,
    state: u8,
    /// 0 for an orphan.
    inode: u64,
}

/// Whether this machine can be asked; Linux can.
pub fn can_count() -> bool {
    fs::metadata("/proc/net/tcp").is_ok()
}

fn rows() -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        // A machine without IPv6 has no second table.
        let text = fs::read_to_string(table).unwrap_or_default();
        rows.extend(text.lines().skip(1).filter_map(row));
    }
    Ok(rows)
}

fn row(line: &str) -> Option<Row> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let port = |at: usize| {
        let (_, port) = fields.get(at)?.rsplit_once(':')?;
        u16::from_str_radix(port, 16).ok()
    };
    Some(Row {
        local_port: port(1)?,
        remote_port: port(2)?,
        state: u8::from_str_radix(fields.get(3)?, 16).ok()?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

fn inodes_of(pid: u32) -> Result<HashSet<u64>> {
    let folder = format!("/proc/{pid}/fd");
    let files = fs::read_dir(&folder).with_context(|| folder.clone())?;
    Ok(files
        .filter_map(|file| fs::read_link(file.ok()?.path()).ok())
        .filter_map(|target| {
            let target = target.to_str()?.strip_prefix("socket:[")?;
            target.strip_suffix(']')?.parse().ok()
        })
        .collect())
}

/// Sockets to one port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Held by the process.
    pub held: usize,
    /// Closed by some process, but not yet gone.
    pub orphans: usize,
    /// Of these, the ones that were seen in the hands of this process before; only a
    /// [`Sampler`] remembers.
    pub left: usize,
    /// Of these, the ones of a process that was here earlier.
    pub inherited: usize,
}

impl Count {
    /// All that are the process's own.
    pub const fn own(&self) -> usize {
        self.held + self.left
    }
}

/// The sockets of process `pid` to each of `ports`, from one look at the table.
///
/// # Errors
/// When the process is gone, or this is not Linux.
pub fn of_process(pid: u32, ports: &[u16]) -> Result<BTreeMap<u16, Count>> {
    look(pid, ports, &mut HashMap::new())
}

/// `known` are the sockets of earlier looks, by their ports, and whose they were.
fn look(
    pid: u32,
    ports: &[u16],
    known: &mut HashMap<(u16, u16), u32>,
) -> Result<BTreeMap<u16, Count>> {
    // Each socket that is counted as held was there when the first look ended and when the
    // second one began: what is opened or closed meanwhile is never counted beside another.
    let inodes = inodes_of(pid)?;
    let mut counts: BTreeMap<u16, Count> =
        ports.iter().map(|port| (*port, Count::default())).collect();
    // The kernel hands its table out page by page; what moves meanwhile may come twice.
    let mut seen = HashSet::new();
    for row in rows()?.iter().filter(|row| row.state != TIME_WAIT) {
        let Some(count) = counts.get_mut(&row.remote_port) else {
            continue;
        };
        let ports = (row.local_port, row.remote_port);
        if row.inode == 0 {
            count.orphans += 1;
            let holder = known.get(&ports);
            count.left += usize::from(holder.is_some());
            count.inherited += usize::from(holder.is_some_and(|holder| *holder != pid));
        } else if inodes.contains(&row.inode) {
            known.insert(ports, pid);
            count.held += usize::from(seen.insert(row.inode));
        } else {
            known.remove(&ports);
        }
    }
    Ok(counts)
}

/// All sockets of this machine to `port`.
///
/// # Errors
/// When this is not Linux.
pub fn to_port(port: u16) -> Result<usize> {
    Ok(to_ports(&[port])?.get(&port).copied().unwrap_or_default())
}

/// All sockets of this machine to each of `ports`, from one look at the table.
///
/// # Errors
/// When this is not Linux.
pub fn to_ports(ports: &[u16]) -> Result<BTreeMap<u16, usize>> {
    let mut counts: BTreeMap<u16, usize> = ports.iter().map(|port| (*port, 0)).collect();
    for row in rows()?.iter().filter(|row| row.state != TIME_WAIT) {
        if let Some(count) = counts.get_mut(&row.remote_port) {
            *count += 1;
        }
    }
    Ok(counts)
}

/// Looks every 50 ms and keeps the most it saw.
pub struct Sampler {
    stop: Sender<()>,
    pid: Arc<AtomicU32>,
    thread: JoinHandle<Maxima>,
}

/// More than so many at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Peak {
    /// When.
    pub at: Instant,
    /// To which port.
    pub port: u16,
    /// How many.
    pub count: Count,
}

/// What a [`Sampler`] saw.
#[derive(Clone, Debug, Default)]
pub struct Maxima {
    /// The most sockets to each port, each kind at its worst.
    pub most: BTreeMap<u16, Count>,
    /// The most to each port in one look, held ones and orphans together.
    pub together: BTreeMap<u16, usize>,
    /// Every look that found more of the process's own than the limit.
    pub peaks: Vec<Peak>,
    /// How often it looked.
    pub looks: usize,
}

impl Maxima {
    fn add(&mut self, counts: BTreeMap<u16, Count>, limit: usize) {
        self.looks += 1;
        for (port, count) in counts {
            let together = self.together.entry(port).or_default();
            *together = (*together).max(count.held + count.orphans);
            let most = self.most.entry(port).or_default();
            most.held = most.held.max(count.held);
            most.orphans = most.orphans.max(count.orphans);
            most.left = most.left.max(count.left);
            if count.own() > limit {
                let at = Instant::now();
                self.peaks.push(Peak { at, port, count });
            }
        }
    }
}

impl Sampler {
    /// Watches the sockets of `pid` to `ports`.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(pid: u32, ports: Vec<u16>) -> Result<Self> {
        Self::limited(pid, ports, usize::MAX)
    }

    /// The same, and remembers the moments with more than `limit` to one port.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn limited(pid: u32, ports: Vec<u16>, limit: usize) -> Result<Self> {
        let (stop, stopped) = channel();
        let pid = Arc::new(AtomicU32::new(pid));
        let of_thread = Arc::clone(&pid);
        let thread = std::thread::Builder::new()
            .name("sockets".into())
            .spawn(move || {
                let (mut maxima, mut known) = (Maxima::default(), HashMap::new());
                while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                    // A process that has ended has no sockets.
                    let pid = of_thread.load(Ordering::Relaxed);
                    if let Ok(counts) = look(pid, &ports, &mut known) {
                        maxima.add(counts, limit);
                    }
                }
                maxima
            })?;
        Ok(Self { stop, pid, thread })
    }

    /// From now on another process is watched: the successor, which has to count what the
    /// first one left behind.
    pub fn follow(&self, pid: u32) {
        self.pid.store(pid, Ordering::Relaxed);
    }

    /// Ends it and returns what it saw.
    ///
    /// # Errors
    /// When its thread panicked.
    pub fn finish(self) -> Result<Maxima> {
        drop(self.stop);
        self.thread
            .join()
            .map_err(|_| anyhow!("the sampler panicked"))
    }
}
