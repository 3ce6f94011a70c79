//! What the threads of a worker do at this moment, by /proc: whether one of them waits for connections.

use std::{fs, io, os::fd::RawFd};

use nix::unistd::Pid;

use super::{
    procfs,
    syscall::{Call, members, polled, selected},
};

/// The most threads that are looked at. Of a program with more nothing is known: reading one takes some ten microseconds.
const MOST_THREADS: usize = 64;

/// The most descriptors of one poll(2) that are looked at. A program that has more uses epoll(7).
const MOST_POLLED: usize = 1_024;

/// `POLLIN`, and `EPOLLIN` as well.
const READABLE: u32 = 1;

/// What a worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// A thread sleeps until there is a connection on one of its listeners: it would be accepted at once.
    Waits,
    /// None does, and one runs, or is about to.
    Runs,
    /// All sleep, for something else.
    Blocked,
    /// It cannot be known: io_uring, too many threads, or we may not look.
    Unknown,
}

/// What the threads of these processes do. `listeners` are the inodes of the sockets that are meant.
#[must_use]
pub fn of(processes: &[Pid], listeners: &[u64]) -> Activity {
    let (mut activity, mut left) = (Activity::Blocked, MOST_THREADS);
    for &pid in processes {
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for thread in threads.flatten() {
            let tid = thread.file_name();
            let Some(tid) = tid.to_str() else { continue };
            if left == 0 {
                return Activity::Unknown;
            }
            left -= 1;
            match of_thread(pid, tid, listeners) {
                Ok(Activity::Waits) => return Activity::Waits,
                Ok(Activity::Runs) if activity == Activity::Blocked => activity = Activity::Runs,
                Ok(Activity::Runs | Activity::Blocked) => {}
                Err(error) if procfs::has_ended(&error) => {}
                Ok(Activity::Unknown) | Err(_) => activity = Activity::Unknown,
            }
        }
    }
    activity
}

fn of_thread(pid: Pid, tid: &str, listeners: &[u64]) -> io::Result<Activity> {
    let is_listener = |fd: &RawFd| procfs::socket_at(pid, *fd).is_some_and(|inode| listeners.contains(&inode));
    let waits = match Call::of_thread(pid, tid)? {
        Call::Running => return Ok(Activity::Runs),
        Call::Ring => return Ok(Activity::Unknown),
        Call::Other | Call::Receive(_) | Call::X32 => false,
        Call::Accept(fd) => is_listener(&fd),
        Call::Epoll(set) => {
            members(pid, set)?.iter().any(|member| member.events & READABLE != 0 && listeners.contains(&member.inode))
        }
        Call::Poll { address, count } => polled(pid, address, count, MOST_POLLED)?
            .iter()
            .any(|polled| u32::from(polled.events) & READABLE != 0 && is_listener(&polled.fd)),
        Call::Select { address, count } => selected(pid, address, count, MOST_POLLED)?.iter().any(is_listener),
    };
    // One that is stopped stands in the same call.
    if waits && is_asleep(&fs::read_to_string(format!("/proc/{pid}/task/{tid}/stat"))?) {
        return Ok(Activity::Waits);
    }
    Ok(Activity::Blocked)
}

/// Whether the third field of /proc/PID/stat says that it sleeps. The second is a name in brackets that may hold any.
fn is_asleep(stat: &str) -> bool {
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('S'))
}

#[cfg(test)]
mod tests;
