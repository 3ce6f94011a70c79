//! A process by a name that is never reused: signals cannot hit another process, and its end can be waited for.
#![expect(unsafe_code, reason = "the pidfd system calls have no wrapper in nix or std")]

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
    sync::Arc,
    time::Duration,
};

use nix::{
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::Signal,
    unistd::Pid,
};

/// Refers to one process for good. Becomes readable when that process has ended. A clone shares the descriptor.
#[derive(Clone, Debug)]
pub struct PidFd(Arc<OwnedFd>);

impl PidFd {
    /// Opens process `pid`. A child that has not been waited for can always be opened, also when it has ended.
    ///
    /// # Errors
    /// `ESRCH` if there is no such process.
    pub fn open(pid: Pid) -> io::Result<Self> {
        // SAFETY: takes no pointers.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
        owned(fd).map(Self::from)
    }

    /// Whether the process still runs. One that has ended and waits for its parent does not.
    ///
    /// # Errors
    /// Those of poll(2).
    pub fn is_alive(&self) -> io::Result<bool> {
        Ok(!self.has_ended_within(Duration::ZERO)?)
    }

    /// Waits for the end of the process, of all its threads, when it has closed whatever it had open. False if it does not come
    /// in time.
    ///
    /// # Errors
    /// Those of poll(2).
    pub fn has_ended_within(&self, patience: Duration) -> io::Result<bool> {
        let mut fds = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
        Ok(poll(&mut fds, PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX))? > 0)
    }

    /// Sends `signal` to the process, and to no other of the same number.
    ///
    /// # Errors
    /// `ESRCH` if it has ended, `EPERM` if it is another user's.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        // SAFETY: the third argument may be null, for the signal information that kill(2) would send.
        let done = unsafe {
            let no_info = ptr::null::<libc::siginfo_t>();
            libc::syscall(libc::SYS_pidfd_send_signal, self.0.as_raw_fd(), signal as libc::c_int, no_info, 0)
        };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Duplicates the process's descriptor `fd`. The copy is close-on-exec, and keeps what it refers to open.
    ///
    /// # Errors
    /// `EBADF` if the process has no such descriptor, `ESRCH` if it has ended, `EPERM` without `CAP_SYS_PTRACE` (or
    /// the same user).
    pub fn get_fd(&self, fd: RawFd) -> io::Result<OwnedFd> {
        // SAFETY: takes no pointers.
        let copy = unsafe { libc::syscall(libc::SYS_pidfd_getfd, self.0.as_raw_fd(), fd, 0) };
        owned(copy)
    }
}

impl From<OwnedFd> for PidFd {
    /// What clone(2) has made.
    fn from(pidfd: OwnedFd) -> Self {
        Self(Arc::new(pidfd))
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for PidFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// What a system call that makes a descriptor has returned.
fn owned(fd: libc::c_long) -> io::Result<OwnedFd> {
    match RawFd::try_from(fd) {
        // SAFETY: the kernel has just made this descriptor for us, and nobody else knows of it.
        Ok(fd @ 0..) => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read,
        os::{fd::AsRawFd, unix::process::ExitStatusExt},
        process::{Command, Stdio},
    };

    use nix::{errno::Errno, sys::signal::Signal, unistd::Pid};

    use super::PidFd;

    #[test]
    fn a_child_is_alive_until_it_is_killed() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let pidfd = PidFd::open(Pid::from_raw(child.id().cast_signed())).unwrap();
        assert!(pidfd.is_alive().unwrap());

        pidfd.signal(Signal::SIGKILL).unwrap();
        let status = child.wait().unwrap();

        assert_eq!(status.signal(), Some(Signal::SIGKILL as i32));
        assert!(!pidfd.is_alive().unwrap());
        let error = pidfd.signal(Signal::SIGKILL).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::ESRCH as i32));
    }

    #[test]
    fn a_descriptor_is_duplicated() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let us = PidFd::open(Pid::this()).unwrap();

        let copy = us.get_fd(writer.as_raw_fd()).unwrap();
        drop(writer);
        std::io::Write::write_all(&mut std::fs::File::from(copy), b"x").unwrap();

        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
        assert_eq!(us.get_fd(-1).unwrap_err().raw_os_error(), Some(Errno::EBADF as i32));
    }
}
