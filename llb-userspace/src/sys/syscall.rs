//! The system call that a thread sleeps in, by `/proc/PID/task/TID/syscall`, and the descriptors that it waits for there.

use std::{
    fs,
    io::{self, IoSliceMut},
    os::fd::RawFd,
};

use nix::{
    libc,
    sys::uio::{RemoteIoVec, process_vm_readv},
    unistd::Pid,
};

/// `struct pollfd`: a descriptor in four bytes, the events that are asked for in two, those that there are in two.
const POLLFD_BYTES: usize = size_of::<libc::pollfd>();

/// x32's numbers begin there.
const X32: libc::c_long = 1 << 30;

/// Where a thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// In none, or about to leave it.
    Running,
    /// It waits for a connection at this descriptor.
    Accept(RawFd),
    /// It waits for a datagram, or for what comes on a connection, at this one.
    Receive(RawFd),
    /// It waits for what is in this set.
    Epoll(RawFd),
    /// It waits for those of `count` entries at `address`.
    Poll { address: usize, count: usize },
    /// It waits for those below `count` whose bit is set at `address`.
    Select { address: usize, count: usize },
    /// It waits for a ring of io_uring: what for is in memory that the kernel shares with the program.
    Ring,
    /// In one of a kind that has other numbers.
    X32,
    /// In another one, or it sleeps outside of any.
    Other,
}

impl Call {
    /// Where a thread of `pid` is.
    ///
    /// # Errors
    /// `ENOENT` or `ESRCH` if it has ended, `EACCES` if it is another user's.
    pub(super) fn of_thread(pid: Pid, thread: &str) -> io::Result<Self> {
        Ok(Self::parse(&fs::read_to_string(format!("/proc/{pid}/task/{thread}/syscall"))?))
    }

    /// Reads `232 0x4 0x7f.. 0x3 0xffffffffffffffff 0x0 0x8 SP PC`.
    pub(super) fn parse(text: &str) -> Self {
        let mut words = text.split_ascii_whitespace();
        // "running", or -1 for one that sleeps outside of a call.
        let Some(number) = words.next().and_then(|word| word.parse::<libc::c_long>().ok()) else {
            return Call::Running;
        };
        let mut arguments = words.map(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).unwrap_or(0));
        let mut argument = || arguments.next().unwrap_or(0);
        let (first, second) = (argument(), argument());
        // The kernel takes the low half of a register as a descriptor, or a count.
        let (fd, low) = (first as u32 as RawFd, |register: u64| register as u32 as usize);
        match number {
            libc::SYS_accept | libc::SYS_accept4 => Call::Accept(fd),
            libc::SYS_recvfrom | libc::SYS_recvmsg | libc::SYS_recvmmsg => Call::Receive(fd),
            libc::SYS_epoll_pwait | libc::SYS_epoll_pwait2 => Call::Epoll(fd),
            libc::SYS_ppoll => Call::Poll { address: first as usize, count: low(second) },
            libc::SYS_pselect6 => Call::Select { address: second as usize, count: low(first) },
            libc::SYS_io_uring_enter => Call::Ring,
            #[cfg(target_arch = "x86_64")]
            libc::SYS_epoll_wait => Call::Epoll(fd),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_poll => Call::Poll { address: first as usize, count: low(second) },
            #[cfg(target_arch = "x86_64")]
            libc::SYS_select => Call::Select { address: second as usize, count: low(first) },
            X32.. => Call::X32,
            _ => Call::Other,
        }
    }
}

/// What is waited for at a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Polled {
    pub(super) fd: RawFd,
    pub(super) events: u16,
}

/// The entries that poll(2) was called with, `most` of them at the most.
///
/// # Errors
/// If the memory of the process cannot be read.
pub(super) fn polled(pid: Pid, address: usize, count: usize, most: usize) -> io::Result<Vec<Polled>> {
    let entries = memory(pid, address, count.min(most) * POLLFD_BYTES)?;
    let polled = |entry: &[u8]| Polled {
        fd: RawFd::from_ne_bytes([entry[0], entry[1], entry[2], entry[3]]),
        events: u16::from_ne_bytes([entry[4], entry[5]]),
    };
    Ok(entries.chunks_exact(POLLFD_BYTES).map(polled).collect())
}

/// The descriptors in the set that select(2) was called with, those below `most` at the most.
///
/// # Errors
/// If the memory of the process cannot be read.
pub(super) fn selected(pid: Pid, address: usize, count: usize, most: usize) -> io::Result<Vec<RawFd>> {
    let count = count.min(most);
    // A set is an array of machine words.
    let set = memory(pid, address, count.div_ceil(64) * 8)?;
    let words: Vec<u64> = set.chunks_exact(8).filter_map(|word| word.try_into().ok()).map(u64::from_ne_bytes).collect();
    let has = |fd: &usize| words.get(fd / 64).is_some_and(|word| word >> (fd % 64) & 1 == 1);
    Ok((0..count).filter(has).map(|fd| fd as RawFd).collect())
}

/// A descriptor in a set of epoll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Its number when it was put in, which may be another's by now.
    pub(super) fd: RawFd,
    pub(super) events: u32,
    /// What it is.
    pub(super) inode: u64,
}

impl Member {
    /// Reads `tfd:        5 events:       19 data:                5  pos:0 ino:1f0a sdev:8`.
    fn parse(line: &str) -> Option<Self> {
        let after = |name: &str| line.split_once(name)?.1.split_ascii_whitespace().next();
        let hex = |name: &str| u64::from_str_radix(after(name)?, 16).ok();
        Some(Member { fd: after("tfd:")?.parse().ok()?, events: hex("events:")? as u32, inode: hex("ino:")? })
    }
}

/// What is in a set of epoll that a process has as `set`.
///
/// # Errors
/// If /proc does not show it.
pub(super) fn members(pid: Pid, set: RawFd) -> io::Result<Vec<Member>> {
    Ok(fs::read_to_string(format!("/proc/{pid}/fdinfo/{set}"))?.lines().filter_map(Member::parse).collect())
}

/// Some of a process's memory; nothing if there is no address.
fn memory(pid: Pid, base: usize, len: usize) -> io::Result<Vec<u8>> {
    if base == 0 || len == 0 {
        return Ok(Vec::new());
    }
    let mut bytes = vec![0; len];
    let read = process_vm_readv(pid, &mut [IoSliceMut::new(&mut bytes)], &[RemoteIoVec { base, len }])?;
    bytes.truncate(read);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_wait_are_known() {
        assert_eq!(Call::parse("running\n"), Call::Running);
        assert_eq!(Call::parse(""), Call::Running);
        assert_eq!(Call::parse("-1 0x7ffd0 0x7f00\n"), Call::Other);
        let accept = format!("{} 0x3 0x0 0x0 0x80800 0x0 0x0 0x7ffd0 0x7f00\n", libc::SYS_accept4);
        assert_eq!(Call::parse(&accept), Call::Accept(3));
        let ring = format!("{} 0x4 0x1 0x1 0x1 0x0 0x8 0x7ffd0 0x7f00\n", libc::SYS_io_uring_enter);
        assert_eq!(Call::parse(&ring), Call::Ring);
        let select = format!("{} 0x5 0x7f10 0x0 0x0 0x0 0x0 0x7ffd0 0x7f00\n", libc::SYS_pselect6);
        assert_eq!(Call::parse(&select), Call::Select { address: 0x7f10, count: 5 });
        assert_eq!(Call::parse("1073741831 0x3 0x1 0x1\n"), Call::X32);
    }

    #[test]
    fn members_of_sets_are_read() {
        let line = "tfd:        5 events:       19 data:                5  pos:0 ino:1f0a sdev:8";
        assert_eq!(Member::parse(line), Some(Member { fd: 5, events: 0x19, inode: 0x1f0a }));
        assert_eq!(Member::parse("pos:\t0"), None);
    }

    #[test]
    fn entries_and_sets_are_read() {
        let entries = [libc::pollfd { fd: 7, events: libc::POLLIN, revents: libc::POLLERR }; 3];
        let at = entries.as_ptr() as usize;
        assert_eq!(polled(Pid::this(), at, 3, 2).unwrap(), [Polled { fd: 7, events: 1 }; 2]);
        let set = [1u64 << 63, 0b101];
        assert_eq!(selected(Pid::this(), set.as_ptr() as usize, 67, 1_024).unwrap(), [63, 64, 66]);
        assert_eq!(selected(Pid::this(), set.as_ptr() as usize, 66, 1_024).unwrap(), [63, 64]);
        assert_eq!(selected(Pid::this(), 0, 66, 1_024).unwrap(), [0; 0]);
    }
}
