//! Options of a socket by their numbers, and what TCP tells of it.
#![expect(unsafe_code, reason = "TCP_INFO and two other options have no wrapper in nix or socket2")]

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd},
};

use nix::libc;

pub(super) fn tcp_option(socket: impl AsFd, option: libc::c_int) -> io::Result<libc::c_int> {
    int_option(socket, libc::IPPROTO_TCP, option)
}

pub(super) fn int_option(socket: impl AsFd, level: libc::c_int, option: libc::c_int) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut length = libc::socklen_t::try_from(size_of::<libc::c_int>()).expect("four bytes");
    // SAFETY: `value` has room for the `length` bytes that the kernel may write, and both outlive the call.
    let done = unsafe {
        let fd = socket.as_fd().as_raw_fd();
        libc::getsockopt(fd, level, option, (&raw mut value).cast(), &mut length)
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

pub(super) fn set_tcp_option(socket: impl AsFd, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    set_int_option(socket, libc::IPPROTO_TCP, option, value)
}

pub(super) fn set_int_option(
    socket: impl AsFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).expect("four bytes");
    // SAFETY: `value` is of `length` bytes and outlives the call.
    let done = unsafe {
        let fd = socket.as_fd().as_raw_fd();
        libc::setsockopt(fd, level, option, (&raw const value).cast(), length)
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

pub(in crate::sys) fn tcp_info(socket: impl AsFd) -> io::Result<libc::tcp_info> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).expect("a struct of some 100 bytes");
    // SAFETY: `info` has room for the `length` bytes that the kernel may write, and both outlive the call.
    let done = unsafe {
        let fd = socket.as_fd().as_raw_fd();
        libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, info.as_mut_ptr().cast(), &mut length)
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a struct of integers, zeroed before the kernel filled in what it knows.
    Ok(unsafe { info.assume_init() })
}
