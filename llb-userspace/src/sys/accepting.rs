//! Whether a worker waits for connections at a listener that it has: what its threads sleep in says so, without a
//! connection to try it by. `/proc/PID/task/TID/syscall` names the call that a sleeping thread is in, with its arguments.
//!
//! A listener that nobody waits at may belong to a program that is still loading its code, or that stands still. What
//! cannot be told from outside is io_uring: its requests are in memory that the kernel shares with the program.
//!
//! Some runtimes (Go's, tokio's) wait at a listener from listen(2) on, on behalf of a program that accepts nothing yet.

use std::{
    fs,
    io::{self, IoSliceMut, Read},
    os::fd::RawFd,
    path::{Path, PathBuf},
};

use nix::{
    libc,
    sys::uio::{RemoteIoVec, process_vm_readv},
    unistd::Pid,
};

use super::procfs::{self, SocketFd};

/// Descriptors that one call may wait for and that are looked at: more than any program hands to poll(2), whose cost
/// grows with their number.
const MOST_DESCRIPTORS: usize = 16 * 1024;

/// `struct pollfd`: a descriptor and two words of flags.
const POLLFD_BYTES: usize = size_of::<libc::pollfd>();

/// Sets of epoll within sets. The kernel allows five.
const MOST_NESTED: u32 = 5;

/// What a process that has one open may wait for is not to be seen.
const IO_URING: &str = "anon_inode:[io_uring]";

/// A set of epoll, among descriptors.
const EVENTPOLL: &str = "anon_inode:[eventpoll]";

/// The fifth byte of an ELF file, and what it is in a program of 32 bits: its calls have other numbers.
const CLASS_AT: usize = 4;
const CLASS_32: u8 = 1;

/// What a sleeping thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    /// A connection or a datagram at this descriptor.
    Accept(RawFd),
    /// What is in this set.
    Epoll(RawFd),
    /// Those of `count` entries at `address`.
    Poll { address: usize, count: usize },
    /// Those below `count` whose bit is set at `address`.
    Select { address: usize, count: usize },
    /// What is not to be seen.
    Ring,
    /// None of these.
    Other,
}

/// Whether any thread of `pids` waits for connections at the socket of inode `inode`, just now. One that runs does not.
/// `None` if nobody is seen to, and it cannot be told of everybody: a process may not be looked into, or uses io_uring.
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
        let call = match fs::read_to_string(task?.path().join("syscall")) {
            Ok(text) => parse(&text),
            Err(error) if procfs::has_ended(&error) => Some(Call::Other),
            Err(error) => return Err(error),
        };
        match call.map(|call| waits_in(pid, call, inode, &descriptors)) {
            Some(Some(true)) if told => return Ok(Some(true)),
            Some(Some(_)) => {}
            Some(None) | None => told = false,
        }
    }
    // Whoever has a ring need not be seen waiting at it: the kernel may look after it by itself.
    Ok((told && !has_ring(pid)).then_some(false))
}

/// Whether a thread in this call waits at one of these descriptors.
fn waits_in(pid: Pid, call: Call, inode: u64, descriptors: &[RawFd]) -> Option<bool> {
    match call {
        Call::Other => Some(false),
        Call::Ring => None,
        Call::Accept(fd) => Some(descriptors.contains(&fd)),
        Call::Epoll(fd) => Some(set_holds(pid, fd, inode, MOST_NESTED)),
        Call::Poll { address, count } => {
            let bytes = memory(pid, address, count.min(MOST_DESCRIPTORS) * POLLFD_BYTES)?;
            let mut entries = bytes.chunks_exact(POLLFD_BYTES);
            Some(entries.any(|entry| descriptors.iter().any(|fd| entry[..4] == fd.to_ne_bytes())))
        }
        Call::Select { address, count } => {
            // A set is an array of machine words.
            let words = count.min(MOST_DESCRIPTORS).div_ceil(64);
            let bytes = memory(pid, address, words * 8)?;
            let is_set = |fd: &RawFd| {
                let fd = usize::try_from(*fd).unwrap_or(usize::MAX);
                let word = bytes.chunks_exact(8).nth(fd / 64).and_then(|word| word.try_into().ok());
                fd < count && word.is_some_and(|word| u64::from_ne_bytes(word) >> (fd % 64) & 1 == 1)
            };
            Some(descriptors.iter().any(is_set))
        }
    }
}

/// Whether a set of epoll holds the socket, itself or by another set in it. Descriptors there have the numbers of the time
/// when they were put in; the inode is what they are.
fn set_holds(pid: Pid, set: RawFd, inode: u64, nested: u32) -> bool {
    let Ok(info) = fs::read_to_string(format!("/proc/{pid}/fdinfo/{set}")) else { return false };
    let members = || info.lines().filter_map(parse_member);
    members().any(|(_, found)| found == Some(inode))
        || members().any(|(fd, found)| match found {
            // Before Linux 4.13 only the number is told.
            None => procfs::socket_fds(pid).is_ok_and(|fds| fds.contains(&SocketFd { fd, inode })),
            Some(_) => {
                let is_set = || target(pid, fd).is_some_and(|name| name == Path::new(EVENTPOLL));
                nested > 0 && is_set() && set_holds(pid, fd, inode, nested - 1)
            }
        })
}

/// Descriptor and inode in `tfd:        5 events:       19 data:                5  pos:0 ino:1f0a sdev:8`.
fn parse_member(line: &str) -> Option<(RawFd, Option<u64>)> {
    let rest = line.strip_prefix("tfd:")?;
    let fd = rest.split_ascii_whitespace().next()?.parse().ok()?;
    let inode = rest.split_ascii_whitespace().find_map(|word| word.strip_prefix("ino:"));
    Some((fd, inode.and_then(|inode| u64::from_str_radix(inode, 16).ok())))
}

/// The call in `232 0x4 0x7f.. 0x3 0xffffffffffffffff 0x0 0x8 SP PC`; none if it is of a kind that has other numbers.
fn parse(text: &str) -> Option<Call> {
    let mut words = text.split_ascii_whitespace();
    // "running", or -1 for one that sleeps outside of a call.
    let Some(number) = words.next().and_then(|word| word.parse::<libc::c_long>().ok()) else {
        return Some(Call::Other);
    };
    let mut arguments = words.map(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).unwrap_or(0));
    let mut argument = || arguments.next().unwrap_or(0);
    let (first, second) = (argument(), argument());
    // The kernel takes the low half of the register.
    let fd = first as u32 as RawFd;
    Some(match number {
        libc::SYS_accept | libc::SYS_accept4 => Call::Accept(fd),
        // Of a UDP socket: nobody receives at a listener.
        libc::SYS_recvfrom | libc::SYS_recvmsg | libc::SYS_recvmmsg => Call::Accept(fd),
        libc::SYS_epoll_pwait | libc::SYS_epoll_pwait2 => Call::Epoll(fd),
        libc::SYS_ppoll => Call::Poll { address: first as usize, count: second as u32 as usize },
        libc::SYS_pselect6 => Call::Select { address: second as usize, count: first as u32 as usize },
        libc::SYS_io_uring_enter => Call::Ring,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_epoll_wait => Call::Epoll(fd),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_poll => Call::Poll { address: first as usize, count: second as u32 as usize },
        #[cfg(target_arch = "x86_64")]
        libc::SYS_select => Call::Select { address: second as usize, count: first as u32 as usize },
        // x32's numbers begin there.
        number if number >= 1 << 30 => return None,
        _ => Call::Other,
    })
}

/// Some of the process's memory; none if it cannot be had.
fn memory(pid: Pid, base: usize, len: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; len];
    if base == 0 || len == 0 {
        return Some(Vec::new());
    }
    let read = process_vm_readv(pid, &mut [IoSliceMut::new(&mut bytes)], &[RemoteIoVec { base, len }]).ok()?;
    bytes.truncate(read);
    Some(bytes)
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
