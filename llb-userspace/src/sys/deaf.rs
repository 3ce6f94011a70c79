//! A connection that takes no more bytes, and is otherwise as it was.
#![expect(unsafe_code, reason = "SO_ATTACH_FILTER has no wrapper")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use nix::libc;

const fn step(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

/// Drops each segment that has bytes. Its length counts from the TCP header, whose own length is in the upper half of the
/// thirteenth byte, in words of four.
const NO_BYTES: [libc::sock_filter; 9] = [
    step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 12),
    step(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0xf0),
    step(libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K, 2),
    step(libc::BPF_MISC | libc::BPF_TAX, 0),
    step(libc::BPF_LD | libc::BPF_W | libc::BPF_LEN, 0),
    step(libc::BPF_ALU | libc::BPF_SUB | libc::BPF_X, 0),
    libc::sock_filter { code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, jt: 0, jf: 1, k: 0 },
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
    let mut steps = NO_BYTES;
    let program = libc::sock_fprog { len: NO_BYTES.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: the kernel reads a sock_fprog and the steps it points to, which outlive the call.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Undoes [`refuse_bytes`].
///
/// # Errors
/// If there is none.
pub(super) fn accept_bytes(socket: BorrowedFd<'_>) -> io::Result<()> {
    let nothing: libc::c_int = 0;
    // SAFETY: the kernel reads an int, which outlives the call.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_DETACH_FILTER,
            (&raw const nothing).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
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
