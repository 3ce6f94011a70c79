//! The kernel's file system of pins (bpffs): what is pinned there outlives the process that made it.

use std::{io, path::Path};

use nix::{
    errno::Errno,
    mount::{MntFlags, MsFlags, mount as mount_file_system, umount2},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};

/// Whether `path` lies in such a file system.
#[must_use]
pub fn is_bpffs(path: &Path) -> bool {
    statfs(path).is_ok_and(|found| found.filesystem_type() == BPF_FS_MAGIC)
}

/// Mounts a new one, which is nobody else's, at the directory `at`.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`.
pub fn mount(at: &Path) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    Ok(mount_file_system(Some("bpf"), at, Some("bpf"), flags, Some("mode=0700"))?)
}

/// Unmounts what [`mount`] has mounted, also while somebody looks at it. What is not mounted is no error.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`.
pub fn unmount(at: &Path) -> io::Result<()> {
    match umount2(at, MntFlags::MNT_DETACH) {
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::is_bpffs;

    #[test]
    fn other_file_systems_are_told_apart() {
        assert!(!is_bpffs(Path::new("/proc")));
        assert!(!is_bpffs(Path::new("/nonexistent")));
    }
}
