//! Programs that do nothing: what the statistics say of one is what they cost, and what a fleet with one on each of llb's hooks
//! is slower by is what the kernel's hooks cost.
#![expect(unsafe_code, reason = "no library loads two bare instructions, or attaches them to a reuseport group")]

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use llb::internals::{
    cgroup_attach::{self, Hook},
    mounts,
};
use nix::libc;

/// `BPF_PROG_LOAD`, of `enum bpf_cmd`.
const PROG_LOAD: libc::c_int = 5;

/// What a program is for, of `enum bpf_prog_type`.
const SOCKET_FILTER: u32 = 1;
const CGROUP_SKB: u32 = 8;
const CGROUP_SOCK: u32 = 9;
const SOCK_OPS: u32 = 13;
const CGROUP_SOCK_ADDR: u32 = 18;
const SK_REUSEPORT: u32 = 21;

/// llb's hooks in a cgroup, and the type of a program there.
const HOOKS: [(u32, Hook); 8] = [
    (CGROUP_SKB, Hook::Ingress),
    (CGROUP_SKB, Hook::Egress),
    (SOCK_OPS, Hook::SockOps),
    (CGROUP_SOCK_ADDR, Hook::Bind4),
    (CGROUP_SOCK_ADDR, Hook::Bind6),
    (CGROUP_SOCK, Hook::PostBind4),
    (CGROUP_SOCK, Hook::PostBind6),
    (CGROUP_SOCK, Hook::SockRelease),
];

/// `r0 = ...`, of which the upper half is the number, and `exit`.
const SET: u64 = 0xb7;
const EXIT: u64 = 0x95;

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
    prog_ifindex: u32,
    expected_attach_type: u32,
}

/// Has the kernel take a program that chooses the first of a reuseport group, without looking at anything.
pub(crate) fn load() -> io::Result<OwnedFd> {
    load_as(SOCKET_FILTER, 0, 0)
}

/// Has the kernel take a program of this type that returns this number.
fn load_as(prog_type: u32, expected_attach_type: u32, returns: u32) -> io::Result<OwnedFd> {
    let instructions = [SET | u64::from(returns) << 32, EXIT];
    let mut attributes = Load {
        prog_type,
        insn_cnt: instructions.len() as u32,
        insns: instructions.as_ptr() as u64,
        license: c"MIT".as_ptr() as u64,
        expected_attach_type,
        ..Load::default()
    };
    attributes.prog_name[..5].copy_from_slice(b"empty");
    // SAFETY: the kernel reads `size` bytes of `attributes`, and what it points to; all of it outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, PROG_LOAD, &raw const attributes, size_of::<Load>()) };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just made this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A cgroup with an empty program on each of llb's hooks. Removed when dropped, after the processes in it.
#[derive(Debug)]
pub(crate) struct Hooked(PathBuf);

impl Hooked {
    /// Makes it below ours; `port` makes its name one that no other fleet has.
    pub(crate) fn new(port: u16) -> Result<Self> {
        let path = mounts::own_cgroup()?.path.join(format!("bench-{}-{port}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let hooked = Self(path);
        let cgroup = fs::File::open(&hooked.0).with_context(|| format!("cannot open {}", hooked.0.display()))?;
        for (prog_type, hook) in HOOKS {
            load_as(prog_type, hook as u32, 1)
                .and_then(|program| cgroup_attach::attach(program, &cgroup, hook))
                .with_context(|| format!("cannot attach an empty program to {hook:?}"))?;
        }
        Ok(hooked)
    }

    /// Lets an empty program choose nobody in the reuseport group of `listener`, so that the kernel's hash does.
    pub(crate) fn choose(listener: impl AsFd) -> Result<()> {
        let program = load_as(SK_REUSEPORT, 0, 1).context("cannot load an empty selector")?;
        attach(&program, listener).context("cannot attach an empty selector")
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Hooked {
    fn drop(&mut self) {
        // Whoever is in it is not ours.
        let _ = fs::remove_dir(&self.0);
    }
}

/// Lets `program` choose in the reuseport group of `listener`, until the group is gone.
pub(crate) fn attach(program: impl AsFd, listener: impl AsFd) -> io::Result<()> {
    let program = program.as_fd().as_raw_fd();
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    let (level, option) = (libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_EBPF);
    // SAFETY: the kernel reads `size` bytes of `program`, which outlives the call.
    let done =
        unsafe { libc::setsockopt(listener.as_fd().as_raw_fd(), level, option, (&raw const program).cast(), size) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
