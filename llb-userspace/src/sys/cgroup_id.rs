//! Whether there is a cgroup of some id, wherever it is.
#![expect(unsafe_code, reason = "file handles have no wrapper in nix or std")]

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    path::Path,
};

use nix::{errno::Errno, libc};

/// `FILEID_KERNFS` of the kernel's exportfs.h: such a handle holds nothing but the id.
const FILEID_KERNFS: libc::c_int = 0xfe;

/// A `struct file_handle` of that type.
#[repr(C)]
struct Handle {
    bytes: libc::c_uint,
    kind: libc::c_int,
    id: [u8; 8],
}

/// Whether the hierarchy of which `cgroup` is a part has a cgroup of id `id`. Ids are not used twice.
///
/// # Errors
/// `EPERM` without `CAP_DAC_READ_SEARCH`.
pub fn exists(cgroup: &Path, id: u64) -> io::Result<bool> {
    let part = File::open(cgroup)?;
    let mut handle = Handle { bytes: 8, kind: FILEID_KERNFS, id: id.to_ne_bytes() };
    // SAFETY: the kernel reads the handle, which outlives the call and says itself how long it is.
    let found = unsafe {
        libc::syscall(libc::SYS_open_by_handle_at, part.as_raw_fd(), &raw mut handle, libc::O_PATH | libc::O_CLOEXEC)
    };
    match i32::try_from(found) {
        Ok(fd @ 0..) => {
            // SAFETY: the kernel has just made this descriptor for us, and nobody else knows of it.
            drop(unsafe { OwnedFd::from_raw_fd(fd) });
            Ok(true)
        }
        _ => match Errno::last() {
            Errno::ESTALE => Ok(false),
            errno => Err(errno.into()),
        },
    }
}

#[cfg(all(test, feature = "tests-as-root"))]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt, process};

    use super::exists;
    use crate::sys::mounts::own_cgroup;

    #[test]
    fn a_cgroup_is_there_until_it_is_removed() {
        let own = own_cgroup().unwrap().path;
        let made = own.join(format!("llb-id-test-{}", process::id()));
        fs::create_dir(&made).unwrap();
        let id = fs::metadata(&made).unwrap().ino();
        let before = exists(&own, id);
        fs::remove_dir(&made).unwrap();
        assert!(before.unwrap());
        assert!(!exists(&own, id).unwrap());
    }
}
