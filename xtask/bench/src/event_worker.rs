//! A worker that is an event loop: many connections, many requests on each, one at a time.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::wire;
use super::worker::{Work, is_passing};

/// Events taken at once. More are left for the next turn.
const EVENTS: usize = 64;

struct Connection {
    stream: TcpStream,
    heard: Vec<u8>,
}

/// Serves until the listener breaks.
pub(super) fn serve(listener: &TcpListener, work: &mut Work) -> Result<()> {
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("the kernel grants no epoll")?;
    let listening = listener.as_raw_fd() as u64;
    // Where workers share a listener, a connection wakes one of them and not all.
    epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE, listening))?;
    let mut connections = HashMap::new();
    let mut events = [EpollEvent::empty(); EVENTS];
    loop {
        let came = match epoll.wait(&mut events, EpollTimeout::NONE) {
            Err(nix::Error::EINTR) => continue,
            came => came?,
        };
        for event in &events[..came] {
            if event.data() == listening {
                accept(listener, &epoll, &mut connections)?;
            } else if let Some(connection) = connections.get_mut(&event.data()) {
                // A client that left is its own affair. Closing takes the connection out of the epoll too.
                if !matches!(answer(connection, work), Ok(true)) {
                    connections.remove(&event.data());
                }
            }
        }
    }
}

/// Takes one: those behind it may be for workers that have less to do.
fn accept(listener: &TcpListener, epoll: &Epoll, connections: &mut HashMap<u64, Connection>) -> Result<()> {
    let stream = match listener.accept() {
        Ok((stream, _)) => stream,
        Err(error) if is_passing(&error) => return Ok(()),
        Err(error) => return Err(error).context("cannot accept connections any more"),
    };
    stream.set_nonblocking(true)?;
    let key = stream.as_raw_fd() as u64;
    epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, key))?;
    connections.insert(key, Connection { stream, heard: Vec::new() });
    Ok(())
}

/// Whether there may be more on this connection.
fn answer(connection: &mut Connection, work: &mut Work) -> io::Result<bool> {
    let mut bytes = [0; wire::HEAD_MAX];
    let read = connection.stream.read(&mut bytes)?;
    connection.heard.extend_from_slice(&bytes[..read]);
    if read == 0 || connection.heard.len() > wire::HEAD_MAX {
        return Ok(false);
    }
    if !wire::head_is_whole(&connection.heard) {
        return Ok(true);
    }
    let Some(wish) = wire::wish(&connection.heard) else {
        connection.stream.write_all(wire::REFUSAL)?;
        return Ok(false);
    };
    // A client sends its next request after the answer, so nothing comes behind this one.
    connection.heard.clear();
    work.serve(wish.work_us);
    connection.stream.write_all(if wish.is_last { wire::LAST_ANSWER } else { wire::ANSWER })?;
    Ok(!wish.is_last)
}
