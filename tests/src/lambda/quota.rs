//! A share of one CPU for a whole environment, by a control group, as Lambda gives it by the
//! memory of a function: 1,769 MB are one CPU, so that 128 MB are 7.2 %.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use weir_kit::process::until;

/// The share of one CPU of a function with 128 MB.
pub const OF_128_MB: f64 = 128.0 / 1_769.0;

/// In which the share is given, in microseconds; Lambda's is as short.
const PERIOD: u64 = 20_000;

/// How long the kernel may take to bury what ran in a group.
const BURIAL: Duration = Duration::from_secs(10);

/// A control group; dropping it removes it.
#[derive(Debug)]
pub struct Quota {
    folder: PathBuf,
}

impl Quota {
    /// Makes a group with this share of one CPU.
    ///
    /// # Errors
    /// When this machine has no control groups for CPU time, or does not let us use them.
    pub(super) fn new(share: f64) -> io::Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("weir-{}-{number}", std::process::id());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of one CPU: between 0 and 20,000"
        )]
        let quota = (PERIOD as f64 * share).round() as u64;
        let (first, second) = (Path::new("/sys/fs/cgroup/cpu"), Path::new("/sys/fs/cgroup"));
        if first.join("cpu.cfs_quota_us").exists() || first.join("tasks").exists() {
            let group = Self::made(first.join(name))?;
            group.write("cpu.cfs_period_us", &PERIOD.to_string())?;
            group.write("cpu.cfs_quota_us", &quota.to_string())?;
            return Ok(group);
        }
        let controllers = fs::read_to_string(second.join("cgroup.subtree_control"))?;
        if !controllers.split_whitespace().any(|name| name == "cpu") {
            return Err(io::Error::other("no control group for CPU time"));
        }
        let group = Self::made(second.join(name))?;
        group.write("cpu.max", &format!("{quota} {PERIOD}"))?;
        Ok(group)
    }

    fn made(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir(&folder)?;
        Ok(Self { folder })
    }

    fn write(&self, file: &str, value: &str) -> io::Result<()> {
        fs::write(self.folder.join(file), value)
    }

    /// Where a process that writes `0` joins, with all that it starts.
    pub(super) fn door(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// In how many periods somebody wanted more than there was.
    ///
    /// # Errors
    /// When the system will not say.
    pub fn throttled(&self) -> io::Result<u64> {
        let stat = fs::read_to_string(self.folder.join("cpu.stat"))?;
        let line = stat
            .lines()
            .find_map(|line| line.strip_prefix("nr_throttled "));
        let number = line.and_then(|number| number.trim().parse().ok());
        number.ok_or_else(|| io::Error::other("cpu.stat has no nr_throttled"))
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        until(BURIAL, || fs::remove_dir(&self.folder).ok());
    }
}
