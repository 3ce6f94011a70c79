//! Waiting until a descriptor can be read.
#![expect(unsafe_code, reason = "tokio cannot know that a descriptor stays open and the same; here it does")]

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
};

use tokio::io::{Interest, unix::AsyncFd};

/// Something with a descriptor, registered with the running tokio runtime.
#[derive(Debug)]
pub struct Readable<T: AsFd>(AsyncFd<Fixed<T>>);

/// An owner of a descriptor that is only lent out by reference from here on, with the descriptor that it had.
#[derive(Debug)]
struct Fixed<T> {
    inner: T,
    fd: RawFd,
}

impl<T> AsRawFd for Fixed<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.fd
    }
}

impl<T: AsFd> AsFd for Fixed<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl<T: AsFd> Readable<T> {
    /// Registers it.
    ///
    /// # Errors
    /// `EPERM` if such a descriptor cannot be waited for; others of epoll_ctl(2).
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(inner: T) -> io::Result<Self> {
        let fd = inner.as_fd().as_raw_fd();
        let fixed = Fixed { inner, fd };
        // SAFETY: the number returned is always that of the descriptor registered, and `inner`, which by AsFd's
        // contract keeps it open, lives inside the registration and is not given out by value.
        let registered = unsafe { AsyncFd::register_with_interest(fixed, Interest::READABLE) };
        Ok(Readable(registered.map_err(io::Error::from)?))
    }

    /// What was registered.
    pub fn get_ref(&self) -> &T {
        &self.0.get_ref().inner
    }

    /// Waits until it can be read, then has `read` empty it.
    ///
    /// # Errors
    /// The runtime's.
    pub async fn readable<R>(&mut self, read: impl FnOnce(&mut T) -> R) -> io::Result<R> {
        let mut guard = self.0.readable_mut().await?;
        // Cleared first: what arrives while it is emptied wakes again.
        guard.clear_ready();
        Ok(read(&mut guard.get_inner_mut().inner))
    }
}
