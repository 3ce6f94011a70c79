//! What llb asks of the kernel without its maps and programs. Unsafe code lives on this floor only, behind safe
//! functions; whatever nix, socket2 or std already wrap is taken from there.

#[cfg(feature = "master")]
pub(crate) mod accepting;
#[cfg(feature = "master")]
pub mod activity;
#[cfg(feature = "master")]
pub mod affinity;
#[cfg(feature = "master")]
pub mod alarm;
#[cfg(feature = "master")]
pub mod born;
#[cfg(feature = "master")]
pub mod bpffs;
#[cfg(feature = "master")]
pub mod capabilities;
#[cfg(feature = "master")]
pub mod cgroup_attach;
#[cfg(feature = "master")]
pub mod cgroup_id;
#[cfg(feature = "master")]
pub mod child;
#[cfg(feature = "master")]
pub mod clock;
#[cfg(feature = "master")]
mod clone;
#[cfg(feature = "master")]
pub mod connection;
#[cfg(feature = "master")]
pub mod deaf;
#[cfg(feature = "master")]
pub mod endpoint;
#[cfg(feature = "master")]
pub mod epoll;
#[cfg(feature = "master")]
pub mod freeze;
pub mod inherited;
#[cfg(feature = "master")]
pub mod limits;
#[cfg(feature = "master")]
pub mod mmap;
#[cfg(feature = "master")]
pub mod mounts;
#[cfg(feature = "master")]
pub mod pidfd;
#[cfg(feature = "master")]
pub mod procfs;
#[cfg(feature = "master")]
pub mod procnet;
#[cfg(feature = "master")]
pub mod readable;
#[cfg(feature = "master")]
pub mod reap;
#[cfg(feature = "master")]
pub mod signals;
#[cfg(feature = "master")]
mod sock_diag;
#[cfg(feature = "master")]
pub mod socket;
#[cfg(feature = "master")]
mod syscall;

#[cfg(all(test, feature = "master"))]
pub(crate) mod testing;
