//! Descriptors that this process was started with.
#![expect(unsafe_code, reason = "a descriptor that is known by number only has no owner in std's sense")]

use std::{
    io,
    os::fd::{FromRawFd, OwnedFd, RawFd},
};

use nix::libc;

/// Duplicates descriptor `fd`. The copy is close-on-exec; the original stays as it is.
///
/// # Errors
/// `EBADF` if it is not open.
pub fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers.
    match unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, libc::STDERR_FILENO + 1) } {
        // SAFETY: the kernel has just made this descriptor for us, and nobody else knows of it.
        copy @ 0.. => Ok(unsafe { OwnedFd::from_raw_fd(copy) }),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::{duplicate, libc};

    #[test]
    fn a_copy_is_another_descriptor() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_ne!(duplicate(file.as_raw_fd()).unwrap().as_raw_fd(), file.as_raw_fd());
        assert_eq!(duplicate(-1).unwrap_err().raw_os_error(), Some(libc::EBADF));
    }
}
