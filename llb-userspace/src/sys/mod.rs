//! What llb asks of the kernel without its maps and programs. Unsafe code lives on this floor only, behind safe
//! functions; whatever nix, socket2 or std already wrap is taken from there.

pub mod bpffs;
pub mod capabilities;
pub mod cgroup_attach;
pub mod cgroup_id;
pub mod child;
pub mod clock;
pub mod connection;
pub mod freeze;
pub mod inherited;
pub mod mmap;
pub mod mounts;
pub mod pidfd;
pub mod procfs;
pub mod procnet;
pub mod readable;
pub mod socket;

#[cfg(test)]
pub(crate) mod testing;
