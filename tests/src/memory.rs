//! Memory of a process, as the kernel tells it.

use std::fs;

use anyhow::{Context, Result};

/// Whether this machine can be asked; Linux can.
pub fn can_ask() -> bool {
    fs::metadata("/proc/self/status").is_ok()
}

/// What the process holds, in KiB.
///
/// # Errors
/// When the process is gone, or this is not Linux.
pub fn resident_kib(pid: u32) -> Result<u64> {
    kib(pid, "VmRSS:")
}

/// One line of what the kernel says of it, in KiB.
///
/// # Errors
/// As [`resident_kib`], or when there is no such line.
pub fn kib(pid: u32, name: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.with_context(|| format!("no {name}"))?.parse()?)
}
