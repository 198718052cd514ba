//! CPU time and memory of a process, as Linux tells it.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Clock ticks per second of `/proc/PID/stat`; 100 on every Linux that runs Rust's std.
const TICKS: u64 = 100;

/// User and system time since the process began, of threads that have ended too, in steps of
/// a clock tick.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name may hold spaces; everything after its bracket does not.
    let (_, fields) = stat.rsplit_once(')').context("stat without a name")?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || -> Result<u64> { Ok(fields.next().context("stat is short")?.parse()?) };
    let ticks = next()? + next()?;
    Ok(Duration::from_millis(ticks * 1000 / TICKS))
}

/// One value of `/proc/PID/status` in KiB: `VmRSS`, `VmHWM`.
pub(crate) fn memory(pid: u32, name: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .with_context(|| format!("no {name} in the status of process {pid}"))?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
