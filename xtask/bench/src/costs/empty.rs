//! A program that does nothing: what the statistics say of it is what they cost.
#![expect(unsafe_code, reason = "no library loads two bare instructions, or attaches them to a reuseport group")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::libc;

/// `BPF_PROG_LOAD`, of `enum bpf_cmd`.
const PROG_LOAD: libc::c_int = 5;
/// `BPF_PROG_TYPE_SOCKET_FILTER`, of `enum bpf_prog_type`.
const SOCKET_FILTER: u32 = 1;

/// `r0 = 0; exit`: the first of the group, without looking at anything.
const INSTRUCTIONS: [u64; 2] = [0xb7, 0x95];

/// The members of `union bpf_attr` that this command reads.
#[repr(C)]
#[derive(Default)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    /// Of the verifier's log, which is not asked for: its level and size, and where it would be.
    log: [u32; 4],
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
}

/// Has the kernel take the program.
pub(super) fn load() -> io::Result<OwnedFd> {
    let mut attributes = Load {
        prog_type: SOCKET_FILTER,
        insn_cnt: INSTRUCTIONS.len() as u32,
        insns: INSTRUCTIONS.as_ptr() as u64,
        license: c"MIT".as_ptr() as u64,
        ..Load::default()
    };
    attributes.prog_name[..5].copy_from_slice(b"empty");
    // SAFETY: the kernel reads `size` bytes of `attributes`, and what it points to; all of it outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, PROG_LOAD, &raw const attributes, size_of::<Load>()) };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just made this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Lets `program` choose in the reuseport group of `listener`, until the group is gone.
pub(super) fn attach(program: impl AsFd, listener: impl AsFd) -> io::Result<()> {
    let program = program.as_fd().as_raw_fd();
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    let (level, option) = (libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_EBPF);
    // SAFETY: the kernel reads `size` bytes of `program`, which outlives the call.
    let done =
        unsafe { libc::setsockopt(listener.as_fd().as_raw_fd(), level, option, (&raw const program).cast(), size) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
