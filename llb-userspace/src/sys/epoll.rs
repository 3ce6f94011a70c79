//! Many descriptors watched by one, which another event loop may wait for.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use nix::sys::epoll::{self, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// Events taken at once.
const BATCH: usize = 64;

/// An epoll instance whose watches report each change once (edge-triggered).
#[derive(Debug)]
pub struct Epoll(epoll::Epoll);

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.0.as_fd()
    }
}

impl Epoll {
    /// One that watches nothing.
    ///
    /// # Errors
    /// `EMFILE` and the like.
    pub fn new() -> io::Result<Self> {
        Ok(Epoll(epoll::Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?))
    }

    /// Tells of `socket` by `key` whenever more can be read from it, until the socket is closed.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn add(&self, socket: impl AsFd, key: u64) -> io::Result<()> {
        Ok(self.0.add(socket, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, key))?)
    }

    /// The keys of those that have become readable since the last call.
    pub fn take(&mut self) -> Vec<u64> {
        let mut keys = Vec::new();
        loop {
            let mut events = [EpollEvent::empty(); BATCH];
            // It can only have been interrupted, and then there is another time.
            let count = self.0.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
            keys.extend(events[..count].iter().map(EpollEvent::data));
            if count < BATCH {
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
