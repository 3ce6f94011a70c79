//! What processes do with signals.

use std::{fs, io};

use nix::unistd::Pid;

/// Whether we ignore signal `number`, as whoever started us may have set it.
///
/// # Errors
/// If /proc cannot be read.
pub fn ignores(number: i32) -> io::Result<bool> {
    Ok(signals("self", "SigIgn:")? >> (number - 1) & 1 == 1)
}

/// Whether process `pid` has a handler for signal `number`.
///
/// # Errors
/// `ENOENT` if it has ended.
pub fn catches(pid: Pid, number: i32) -> io::Result<bool> {
    Ok(caught(pid)? >> (number - 1) & 1 == 1)
}

/// The signals that `pid` catches: bit n is signal n + 1.
///
/// # Errors
/// `ENOENT` if it has ended.
pub fn caught(pid: Pid) -> io::Result<u64> {
    signals(&pid.to_string(), "SigCgt:")
}

fn signals(process: &str, which: &str) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let mask = status.lines().find_map(|line| line.strip_prefix(which)).unwrap_or_default();
    u64::from_str_radix(mask.trim(), 16).map_err(io::Error::other)
}
