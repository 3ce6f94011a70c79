//! A connection that takes no more bytes, and is otherwise as it was.
#![expect(unsafe_code, reason = "SO_GET_FILTER has no wrapper")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use nix::libc;
use socket2::{SockFilter, SockRef};

const fn step(code: u32, k: u32) -> SockFilter {
    SockFilter::new(code as u16, 0, 0, k)
}

/// Drops each segment that has bytes. Its length counts from the TCP header, whose own length is in the upper half of the
/// thirteenth byte, in words of four.
const NO_BYTES: [SockFilter; 9] = [
    step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 12),
    step(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0xf0),
    step(libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K, 2),
    step(libc::BPF_MISC | libc::BPF_TAX, 0),
    step(libc::BPF_LD | libc::BPF_W | libc::BPF_LEN, 0),
    step(libc::BPF_ALU | libc::BPF_SUB | libc::BPF_X, 0),
    SockFilter::new((libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, 0, 1, 0),
    step(libc::BPF_RET | libc::BPF_K, u32::MAX),
    step(libc::BPF_RET | libc::BPF_K, 0),
];

/// Lets the kernel drop what comes with bytes, unacknowledged: their sender sends them again.
///
/// # Errors
/// `EPERM` if the owner has locked a filter, `EBUSY` if it has one, or why the kernel takes none.
pub(super) fn refuse_bytes(socket: BorrowedFd<'_>) -> io::Result<()> {
    if has_filter(socket)? {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    SockRef::from(&socket).attach_filter(&NO_BYTES)
}

/// Undoes [`refuse_bytes`].
///
/// # Errors
/// If there is none.
pub(super) fn accept_bytes(socket: BorrowedFd<'_>) -> io::Result<()> {
    SockRef::from(&socket).detach_filter()
}

fn has_filter(socket: BorrowedFd<'_>) -> io::Result<bool> {
    let mut steps: libc::socklen_t = 0;
    // SAFETY: with room for nothing the kernel writes only how many steps there are.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_GET_FILTER,
            std::ptr::null_mut(),
            &raw mut steps,
        )
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(steps != 0) }
}
