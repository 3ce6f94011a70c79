//! A process in words.

use std::{fs, io};

use nix::unistd::Pid;

use super::{Process, endpoints};
use crate::sys::endpoint::Endpoint;

/// What the process does, in one line, for an error that says what it does not do: "pid 77 (python3) is sleeping in
/// do_poll, listens on udp 127.0.0.1:5353".
#[must_use]
pub fn describe(pid: Pid) -> String {
    let process = Process::of(pid);
    let Some(state) = state(pid) else { return format!("{process} has ended") };
    let place = match fs::read_to_string(format!("/proc/{pid}/wchan")) {
        // The kernel writes 0 for a process that runs, or if it does not want to tell.
        Ok(place) if !matches!(place.as_str(), "" | "0") => format!(" in {place}"),
        _ => String::new(),
    };
    let sockets = match open_endpoints(pid) {
        Ok(endpoints) if endpoints.is_empty() => "listens on nothing".to_owned(),
        Ok(endpoints) => format!("listens on {}", endpoints.join(", ")),
        Err(error) => format!("what it listens on cannot be seen: {error}"),
    };
    format!("{process} is {state}{place}, {sockets}")
}

fn open_endpoints(pid: Pid) -> io::Result<Vec<String>> {
    Ok(endpoints(pid)?.iter().map(Endpoint::to_string).collect())
}

/// The state's name, after the letter in /proc/PID/stat. `None` if the process has ended.
fn state(pid: Pid) -> Option<&'static str> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name before it is in parentheses and can hold any, so the last one counts.
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    match stat.get(end + 2)? {
        b'R' => Some("running"),
        b'S' => Some("sleeping"),
        b'D' => Some("waiting for a device"),
        b'T' => Some("stopped by a signal"),
        b't' => Some("stopped by a debugger"),
        b'Z' | b'X' | b'x' => None,
        _ => Some("idle"),
    }
}
