//! Many descriptors watched by one, which another event loop may wait for.
#![expect(unsafe_code, reason = "nix's epoll is behind a feature that nothing else needs")]

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use nix::{errno::Errno, libc};

/// Events taken at once.
const BATCH: usize = 64;

/// An epoll instance whose watches tell of each change once (edge-triggered).
#[derive(Debug)]
pub struct Epoll(OwnedFd);

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Epoll {
    /// One that watches nothing.
    ///
    /// # Errors
    /// `EMFILE` and the like.
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes no pointers; what it returns is nobody else's.
        let fd = Errno::result(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: as above.
        Ok(Epoll(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Tells of `socket` by `key` whenever more can be read from it, until the socket is closed.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn add(&self, socket: impl AsFd, key: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLET).cast_unsigned(), u64: key };
        let (own, other) = (self.0.as_raw_fd(), socket.as_fd().as_raw_fd());
        // SAFETY: the event outlives the call, and both descriptors are open.
        Errno::result(unsafe { libc::epoll_ctl(own, libc::EPOLL_CTL_ADD, other, &raw mut event) })?;
        Ok(())
    }

    /// The keys of those that can be read from, of which it has not yet told.
    pub fn take(&mut self) -> Vec<u64> {
        let mut keys = Vec::new();
        loop {
            let mut events = [libc::epoll_event { events: 0, u64: 0 }; BATCH];
            // SAFETY: there is room for `BATCH` events, and the array outlives the call.
            let count = unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), BATCH as libc::c_int, 0) };
            // It can only have been interrupted, and then there is another time.
            let taken = &events[..usize::try_from(count).unwrap_or(0)];
            keys.extend(taken.iter().map(|event| event.u64));
            if taken.len() < BATCH {
                return keys;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::Epoll;
    use crate::sys::testing::until;

    #[test]
    fn each_arrival_is_told_of_once() {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let mut epoll = Epoll::new().unwrap();
        for (listener, key) in listeners.iter().zip(7..) {
            epoll.add(listener, key).unwrap();
        }
        assert!(epoll.take().is_empty());
        let _client = TcpStream::connect(listeners[1].local_addr().unwrap()).unwrap();
        let mut keys = Vec::new();
        until("it is told", || {
            keys = epoll.take();
            !keys.is_empty()
        });
        assert_eq!((keys, epoll.take().len()), (vec![8], 0));
    }
}
