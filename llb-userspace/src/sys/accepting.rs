//! Whether a worker waits for connections at a listener that it has: what its threads sleep in says so, without a
//! connection to try it by. `/proc/PID/task/TID/syscall` names the call that a sleeping thread is in, with its arguments.
//!
//! A listener that nobody waits at may belong to a program that is still loading its code, or that stands still. What
//! cannot be seen from outside is io_uring: its requests are in memory that the kernel shares with the program.
//!
//! Some runtimes (Go's, tokio's) wait at a listener from listen(2) on, on behalf of a program that accepts nothing yet.

use std::{
    fs,
    io::{self, Read},
    os::fd::RawFd,
    path::{Path, PathBuf},
};

use nix::unistd::Pid;

use super::{
    procfs::{self, SocketFd},
    syscall::{Call, members, polled, selected},
};

/// The most descriptors of one call that are looked at: more than any program hands to poll(2), whose cost grows with
/// their number.
const MOST_DESCRIPTORS: usize = 16 * 1024;

/// Sets of epoll within sets. The kernel allows five.
const MOST_NESTED: u32 = 5;

/// A ring of io_uring, among descriptors: nobody can see what its process waits for.
const IO_URING: &str = "anon_inode:[io_uring]";

/// A set of epoll, among descriptors.
const EVENTPOLL: &str = "anon_inode:[eventpoll]";

/// The fifth byte of an ELF file, and what it is in a program of 32 bits: its calls have other numbers.
const CLASS_AT: usize = 4;
const CLASS_32: u8 = 1;

/// Whether any thread of `pids` waits for connections at the socket of inode `inode`, just now. One that runs does not.
/// `None` if no thread is seen to, and not all could be seen: a process may not be looked into, or uses io_uring.
#[must_use]
pub(crate) fn waits_at(pids: &[Pid], inode: u64) -> Option<bool> {
    let mut told = true;
    for &pid in pids {
        match process_waits_at(pid, inode) {
            Ok(Some(true)) => return Some(true),
            Ok(Some(false)) => {}
            Ok(None) => told = false,
            Err(error) if procfs::has_ended(&error) => {}
            Err(_) => told = false,
        }
    }
    told.then_some(false)
}

fn process_waits_at(pid: Pid, inode: u64) -> io::Result<Option<bool>> {
    let descriptors: Vec<RawFd> = procfs::socket_fds(pid)?
        .into_iter()
        .filter_map(|SocketFd { fd, inode: found }| (found == inode).then_some(fd))
        .collect();
    if descriptors.is_empty() {
        return Ok(Some(false));
    }
    let mut told = !is_of_32_bits(pid);
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let call = match Call::of_thread(pid, &task?.file_name().to_string_lossy()) {
            Ok(call) => call,
            Err(error) if procfs::has_ended(&error) => continue,
            Err(error) => return Err(error),
        };
        match waits_in(pid, call, inode, &descriptors) {
            Some(true) if told => return Ok(Some(true)),
            Some(_) => {}
            None => told = false,
        }
    }
    // A process with a ring may wait without a thread in a call: the kernel may poll the ring by itself.
    Ok((told && !has_ring(pid)).then_some(false))
}

/// Whether a thread in this call waits at one of these descriptors.
fn waits_in(pid: Pid, call: Call, inode: u64, descriptors: &[RawFd]) -> Option<bool> {
    match call {
        Call::Running | Call::Other => Some(false),
        Call::Ring | Call::X32 => None,
        // What is received comes at a UDP socket: nobody receives at a listener.
        Call::Accept(fd) | Call::Receive(fd) => Some(descriptors.contains(&fd)),
        Call::Epoll(fd) => Some(set_holds(pid, fd, inode, MOST_NESTED)),
        Call::Poll { address, count } => {
            let polled = polled(pid, address, count, MOST_DESCRIPTORS).ok()?;
            Some(polled.iter().any(|polled| descriptors.contains(&polled.fd)))
        }
        Call::Select { address, count } => {
            let selected = selected(pid, address, count, MOST_DESCRIPTORS).ok()?;
            Some(selected.iter().any(|fd| descriptors.contains(fd)))
        }
    }
}

/// Whether a set of epoll holds the socket, itself or by another set in it.
fn set_holds(pid: Pid, set: RawFd, inode: u64, nested: u32) -> bool {
    let members = members(pid, set).unwrap_or_default();
    let is_set = |fd| target(pid, fd).is_some_and(|name| name == Path::new(EVENTPOLL));
    members.iter().any(|member| member.inode == inode)
        || nested > 0 && members.iter().any(|member| is_set(member.fd) && set_holds(pid, member.fd, inode, nested - 1))
}

fn is_of_32_bits(pid: Pid) -> bool {
    let mut head = [0; CLASS_AT + 1];
    let read = fs::File::open(format!("/proc/{pid}/exe")).and_then(|mut program| program.read_exact(&mut head));
    read.is_ok() && head[CLASS_AT] == CLASS_32
}

fn has_ring(pid: Pid) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    entries.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|name| name == Path::new(IO_URING)))
}

fn target(pid: Pid, fd: RawFd) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok()
}

#[cfg(test)]
mod tests;
