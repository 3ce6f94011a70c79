//! What the threads of a worker do at this moment, by /proc: whether one of them waits for connections.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
};

use nix::{libc, unistd::Pid};

/// Threads that are looked at. A program with more is not known by them: reading one takes some ten microseconds.
const MOST_THREADS: usize = 64;

/// Descriptors that one poll(2) waits for, at most, for it to be read. Who has more uses epoll(7).
const MOST_POLLED: u64 = 1_024;

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
                Err(error) if super::procfs::has_ended(&error) => {}
                Ok(Activity::Unknown) | Err(_) => activity = Activity::Unknown,
            }
        }
    }
    activity
}

fn of_thread(pid: Pid, tid: &str, listeners: &[u64]) -> io::Result<Activity> {
    let Some(call) = Call::parse(&fs::read_to_string(format!("/proc/{pid}/task/{tid}/syscall"))?) else {
        return Ok(Activity::Runs);
    };
    let waits = match call.kind() {
        Kind::Epoll => is_in_epoll(pid, call.arguments[0], listeners)?,
        Kind::Accept => is_listener(pid, call.arguments[0], listeners),
        Kind::Poll => is_polled(pid, call.arguments[0], call.arguments[1], listeners)?,
        Kind::Select => is_selected(pid, call.arguments[1], call.arguments[0], listeners)?,
        Kind::Ring => return Ok(Activity::Unknown),
        Kind::Other => false,
    };
    // One that is stopped stands in the same call.
    if waits && is_asleep(&fs::read_to_string(format!("/proc/{pid}/task/{tid}/stat"))?) {
        return Ok(Activity::Waits);
    }
    Ok(Activity::Blocked)
}

/// A system call in which a thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Call {
    number: libc::c_long,
    arguments: [u64; 6],
}

/// What a call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Epoll,
    Accept,
    Poll,
    Select,
    Ring,
    Other,
}

impl Call {
    /// Reads /proc/PID/task/TID/syscall; nothing if the thread runs.
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        // "running", or -1 if it sleeps outside of any call.
        let number = words.next()?.parse().ok()?;
        let mut arguments = [0; 6];
        for argument in &mut arguments {
            let word = words.next().unwrap_or_default();
            *argument = u64::from_str_radix(word.trim_start_matches("0x"), 16).unwrap_or(0);
        }
        Some(Call { number, arguments })
    }

    fn kind(&self) -> Kind {
        match self.number {
            libc::SYS_epoll_pwait | libc::SYS_epoll_pwait2 => Kind::Epoll,
            libc::SYS_accept | libc::SYS_accept4 => Kind::Accept,
            libc::SYS_ppoll => Kind::Poll,
            libc::SYS_pselect6 => Kind::Select,
            libc::SYS_io_uring_enter => Kind::Ring,
            #[cfg(target_arch = "x86_64")]
            libc::SYS_epoll_wait => Kind::Epoll,
            #[cfg(target_arch = "x86_64")]
            libc::SYS_poll => Kind::Poll,
            #[cfg(target_arch = "x86_64")]
            libc::SYS_select => Kind::Select,
            _ => Kind::Other,
        }
    }
}

/// Whether the third field of /proc/PID/stat says that it sleeps. The second is a name in brackets that may hold any.
fn is_asleep(stat: &str) -> bool {
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('S'))
}

fn is_listener(pid: Pid, fd: u64, listeners: &[u64]) -> bool {
    let target = fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap_or_default();
    let inode = target.to_str().and_then(|name| name.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
    inode.is_some_and(|inode| listeners.contains(&inode))
}

fn is_in_epoll(pid: Pid, fd: u64, listeners: &[u64]) -> io::Result<bool> {
    Ok(watches(&fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}"))?, listeners))
}

/// Whether an epoll's fdinfo names one of the listeners, and asks for connections.
fn watches(fdinfo: &str, listeners: &[u64]) -> bool {
    let field = |line: &str, name: &str| {
        let word = line.split(name).nth(1)?.split_ascii_whitespace().next()?;
        u64::from_str_radix(word, 16).ok()
    };
    fdinfo.lines().filter(|line| line.starts_with("tfd:")).any(|line| {
        field(line, "ino:").is_some_and(|inode| listeners.contains(&inode))
            && field(line, "events:").is_some_and(|events| events as u32 & READABLE != 0)
    })
}

fn is_polled(pid: Pid, at: u64, count: u64, listeners: &[u64]) -> io::Result<bool> {
    let polled = memory(pid, at, 8 * count.min(MOST_POLLED))?;
    // struct pollfd: the descriptor in four bytes, what is asked for in two, what there is in two.
    Ok(polled.chunks_exact(8).any(|polled| {
        let fd = i32::from_ne_bytes([polled[0], polled[1], polled[2], polled[3]]);
        let events = u16::from_ne_bytes([polled[4], polled[5]]);
        u32::from(events) & READABLE != 0 && u64::try_from(fd).is_ok_and(|fd| is_listener(pid, fd, listeners))
    }))
}

fn is_selected(pid: Pid, at: u64, count: u64, listeners: &[u64]) -> io::Result<bool> {
    if at == 0 {
        return Ok(false);
    }
    let set = memory(pid, at, count.min(MOST_POLLED).div_ceil(8))?;
    let has = |fd: u64| set.get(fd as usize / 8).is_some_and(|byte| byte >> (fd % 8) & 1 == 1);
    Ok((0..count.min(MOST_POLLED)).any(|fd| has(fd) && is_listener(pid, fd, listeners)))
}

fn memory(pid: Pid, at: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length as usize];
    File::open(format!("/proc/{pid}/mem"))?.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
