//! Attaching a program to a cgroup so that it stays when the process that attached it is gone.
#![expect(unsafe_code, reason = "bpf(2) has no wrapper, and aya's attachments end with their process")]

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

use nix::libc;

/// The cgroup hooks that llb uses, by their numbers in `enum bpf_attach_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Hook {
    /// Packets that come in.
    Ingress = 0,
    /// Packets that go out.
    Egress = 1,
    /// The life of TCP sockets.
    SockOps = 3,
    /// bind(2) to an IPv4 address.
    Bind4 = 8,
    /// bind(2) to an IPv6 address.
    Bind6 = 9,
    /// bind(2) to an IPv4 address, done.
    PostBind4 = 12,
    /// bind(2) to an IPv6 address, done.
    PostBind6 = 13,
    /// The last close(2) of a socket.
    SockRelease = 34,
}

/// `BPF_PROG_ATTACH`.
const PROG_ATTACH: libc::c_int = 8;
/// `BPF_PROG_DETACH`.
const PROG_DETACH: libc::c_int = 9;
/// `BPF_F_ALLOW_MULTI`: beside whatever else is attached there.
const ALLOW_MULTI: u32 = 2;

/// The members of `union bpf_attr` that this command reads.
#[repr(C)]
struct Attach {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

/// Attaches `program` to `cgroup`, beside others. It is detached when the cgroup is removed, and not before.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN` and `CAP_BPF`, or where an ancestor's attachment forbids others below it.
pub fn attach(program: impl AsFd, cgroup: impl AsFd, hook: Hook) -> io::Result<()> {
    command(PROG_ATTACH, program, cgroup, hook, ALLOW_MULTI)
}

/// Detaches `program` from `cgroup`.
///
/// # Errors
/// `ENOENT` if it is not attached there.
pub fn detach(program: impl AsFd, cgroup: impl AsFd, hook: Hook) -> io::Result<()> {
    command(PROG_DETACH, program, cgroup, hook, 0)
}

fn command(command: libc::c_int, program: impl AsFd, cgroup: impl AsFd, hook: Hook, flags: u32) -> io::Result<()> {
    let number = |fd: &dyn AsRawFd| fd.as_raw_fd().cast_unsigned();
    let attributes = Attach {
        target_fd: number(&cgroup.as_fd()),
        attach_bpf_fd: number(&program.as_fd()),
        attach_type: hook as u32,
        attach_flags: flags,
        replace_bpf_fd: 0,
    };
    // SAFETY: the kernel reads `size` bytes of `attributes`, which outlives the call, and takes those beyond as zero.
    let done = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const attributes, size_of::<Attach>()) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
