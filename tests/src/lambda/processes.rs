//! Processes of an environment, found from outside.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use crate::memory::resident_kib;

/// One process.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its id, outside of any name space.
    pub pid: u32,
    /// The name of its program, cut off by the kernel after 15 bytes.
    pub name: String,
}

impl Found {
    /// Sends a signal.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn signal(&self, name: &str) -> Result<()> {
        signal(self.pid, name)
    }

    /// Whether it is stopped.
    pub fn is_frozen(&self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.state == 'T')
    }

    /// Memory it holds, in bytes.
    pub fn resident(&self) -> Option<u64> {
        Some(resident_kib(self.pid).ok()? * 1024)
    }
}

/// Sends a signal.
///
/// # Errors
/// When it cannot be sent.
pub fn signal(pid: u32, name: &str) -> Result<()> {
    let sent = Command::new("sh")
        .args(["-c", "kill -s \"$1\" \"$2\"", "sh", name])
        .arg(pid.to_string())
        .stdin(Stdio::null())
        .status()?;
    ensure!(sent.success(), "kill -s {name} {pid} failed");
    Ok(())
}

struct Stat {
    name: String,
    state: char,
    parent: u32,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (before, after) = text.rsplit_once(") ")?;
    let (_, name) = before.split_once('(')?;
    let mut fields = after.split(' ');
    Some(Stat {
        name: name.to_owned(),
        state: fields.next()?.chars().next()?,
        parent: fields.next()?.parse().ok()?,
    })
}

fn all() -> Result<BTreeMap<u32, Stat>> {
    let entries = fs::read_dir("/proc")?.filter_map(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(pids
        .filter_map(|pid: u32| Some((pid, stat(pid)?)))
        .collect())
}

/// The ids of its children.
///
/// # Errors
/// When this is not Linux.
pub fn children(pid: u32) -> Result<Vec<u32>> {
    let all = all()?;
    let found = all.iter().filter(|(_, stat)| stat.parent == pid);
    Ok(found.map(|(pid, _)| *pid).collect())
}

/// Its children, their children and so on. The dead are left out.
///
/// # Errors
/// When this is not Linux.
pub fn below(pid: u32) -> Result<Vec<Found>> {
    let all = all()?;
    let mut found: Vec<Found> = Vec::new();
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        for (pid, stat) in all.iter().filter(|(_, stat)| stat.parent == parent) {
            parents.push(*pid);
            if stat.state != 'Z' {
                let name = stat.name.clone();
                found.push(Found { pid: *pid, name });
            }
        }
    }
    Ok(found)
}
