//! A connection that takes no more bytes, and is otherwise as it was: a socket filter drops each segment that has any.
//!
//! The filter is an eBPF program, which whoever holds its descriptor may attach. It is loaded while llb has the right to. A
//! classic filter needs no loading, but newer kernels (6.18.44 for one) take it for a TCP socket from `CAP_NET_ADMIN` alone, which
//! llb has given up by then.
#![expect(unsafe_code, reason = "bpf(2), SO_ATTACH_BPF and SO_GET_FILTER have no wrappers")]

use std::{
    ffi::CStr,
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

use nix::libc;
use socket2::SockRef;

/// `BPF_PROG_LOAD`.
const PROG_LOAD: libc::c_int = 5;
/// `BPF_PROG_TYPE_SOCKET_FILTER`.
const SOCKET_FILTER: u32 = 1;
/// The program calls no helper, so any licence will do.
const LICENSE: &CStr = c"MIT";

/// `struct bpf_insn`; the registers are the destination in the lower half and the source in the upper one.
#[repr(C)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

const fn step(code: u8, registers: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers, offset, immediate }
}

/// Drops each segment that has bytes. Its length counts from the TCP header, whose own length is in the upper half of the
/// thirteenth byte, in words of four.
static NO_BYTES: [Instruction; 10] = [
    // r6 = context
    step(0xbf, 0x16, 0, 0),
    // r0 = the thirteenth byte
    step(0x30, 0, 0, 12),
    // r0 = (r0 & 0xf0) >> 2
    step(0x57, 0, 0, 0xf0),
    step(0x77, 0, 0, 2),
    // r1 = the segment's length, the context's first member
    step(0x61, 0x61, 0, 0),
    // Two steps on unless they are the same
    step(0x5d, 0x01, 2, 0),
    // Take all of it
    step(0xb7, 0, 0, -1),
    step(0x95, 0, 0, 0),
    // Take nothing
    step(0xb7, 0, 0, 0),
    step(0x95, 0, 0, 0),
];

/// The members of `union bpf_attr` that loading reads.
#[repr(C)]
struct Load {
    program_type: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

/// The filter.
#[derive(Debug)]
pub struct NoBytes(OwnedFd);

impl NoBytes {
    /// Loads it.
    ///
    /// # Errors
    /// `EPERM` without `CAP_BPF`, where the kernel asks for that.
    pub fn load() -> io::Result<Self> {
        let attributes = Load {
            program_type: SOCKET_FILTER,
            count: NO_BYTES.len() as u32,
            instructions: NO_BYTES.as_ptr().addr() as u64,
            license: LICENSE.as_ptr().addr() as u64,
            log_level: 0,
            log_size: 0,
            log: 0,
            kernel_version: 0,
            flags: 0,
            name: *b"llb_no_bytes\0\0\0\0",
        };
        // SAFETY: the kernel reads `size` bytes of `attributes`, which outlives the call, and what it points to, which is static.
        let program = unsafe { libc::syscall(libc::SYS_bpf, PROG_LOAD, &raw const attributes, size_of::<Load>()) };
        if program < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor, and nobody else has it.
        Ok(NoBytes(unsafe { OwnedFd::from_raw_fd(program as RawFd) }))
    }

    /// Lets the kernel drop what comes with bytes, unacknowledged: their sender sends them again.
    ///
    /// # Errors
    /// `EPERM` if the owner has locked a filter, `EBUSY` or `EACCES` if it has one.
    pub(super) fn refuse_bytes(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        if has_filter(socket)? {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        let program: libc::c_int = self.0.as_raw_fd();
        // SAFETY: the kernel reads one int, which outlives the call.
        let done = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_ATTACH_BPF,
                (&raw const program).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// Undoes [`NoBytes::refuse_bytes`].
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
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_GET_FILTER, ptr::null_mut(), &raw mut steps)
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(steps != 0) }
}
