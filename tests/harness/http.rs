//! A small HTTP/1.1 client. It connects where its thread is: in the namespace of the test's stage.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    os::fd::AsFd,
    time::Duration,
};

use nix::{
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use socket2::{Domain, SockRef, Socket, Type};

use super::DEADLINE;

/// What a worker answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status code.
    pub status: u16,
    /// The body; the fixtures answer with their slot first.
    pub body: String,
}

impl Answer {
    /// Which worker it was.
    #[track_caller]
    pub(crate) fn slot(&self) -> u32 {
        assert_eq!(self.status, 200, "{self:?}");
        self.body
            .split(' ')
            .next()
            .and_then(|slot| slot.trim().parse().ok())
            .unwrap_or_else(|| panic!("no slot: {self:?}"))
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    /// Connects, and sends nothing yet.
    #[track_caller]
    pub(crate) fn connect(addr: &str) -> Self {
        Self::try_connect(addr).unwrap_or_else(|error| panic!("{addr}: {error}"))
    }

    /// Connects, and sends nothing yet; an error also if nobody takes the connection.
    pub(crate) fn try_connect(addr: &str) -> io::Result<Self> {
        let addr: SocketAddr = addr.parse().expect("an address and port");
        let stream = TcpStream::connect_timeout(&addr, DEADLINE)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_nodelay(true)?;
        Ok(Client(BufReader::new(stream)))
    }

    /// Begins to connect, and does not wait for it. What is sent before waits itself, and goes out with the packet that
    /// completes the handshake.
    #[track_caller]
    pub(crate) fn begin(addr: &str) -> Self {
        let addr: SocketAddr = addr.parse().expect("an address and port");
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None).expect("a socket");
        socket.set_nonblocking(true).expect("a socket that does not block");
        let begun = socket.connect(&addr.into()).expect_err("a connection that takes its time");
        assert_eq!(begun.raw_os_error(), Some(libc::EINPROGRESS), "{addr}: {begun}");
        socket.set_nonblocking(false).expect("a socket that blocks");
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(DEADLINE)).expect("a read timeout");
        Client(BufReader::new(stream))
    }

    /// Waits until the connection is established.
    #[track_caller]
    pub(crate) fn await_established(&self) {
        let mut writable = [PollFd::new(self.0.get_ref().as_fd(), PollFlags::POLLOUT)];
        let timeout = PollTimeout::try_from(DEADLINE).expect("a timeout");
        assert_eq!(poll(&mut writable, timeout), Ok(1), "nobody takes the connection");
    }

    /// Sends a request that keeps the connection alive.
    #[track_caller]
    pub(crate) fn send(&mut self, path: &str) {
        self.write(&format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
    }

    /// Sends a request after which the worker is to close.
    #[track_caller]
    pub(crate) fn send_last(&mut self, path: &str) {
        self.try_send_last(path).expect("a connection that takes a request");
    }

    /// Sends a request after which the worker is to close; an error if it has done so already.
    pub(crate) fn try_send_last(&mut self, path: &str) -> io::Result<()> {
        self.try_write(&format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"))
    }

    /// Sends no more, and can still receive.
    #[track_caller]
    pub(crate) fn shut_down_sending(&mut self) {
        // Too late if the worker has ended it.
        let _ = self.0.get_ref().shutdown(Shutdown::Write);
    }

    /// Ends the connection by a reset.
    #[track_caller]
    pub(crate) fn reset(self) {
        SockRef::from(self.0.get_ref()).set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
    }

    /// Sends any bytes.
    #[track_caller]
    pub(crate) fn write(&mut self, text: &str) {
        self.try_write(text).expect("a connection that takes a request");
    }

    /// Sends any bytes; an error if the connection has ended.
    pub(crate) fn try_write(&mut self, text: &str) -> io::Result<()> {
        self.0.get_mut().write_all(text.as_bytes())
    }

    /// Waits for the answer.
    #[track_caller]
    pub(crate) fn receive(&mut self) -> Answer {
        self.try_receive().unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    /// Waits for the answer; an error also if the worker closes without one.
    pub(crate) fn try_receive(&mut self) -> io::Result<Answer> {
        let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| bad(&first))?;
        let mut length = None;
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = Some(value.trim().parse().map_err(|_| bad(&line))?);
            }
        }
        let mut body = Vec::new();
        match length {
            Some(length) => {
                body.resize(length, 0);
                self.0.read_exact(&mut body)?;
            }
            None => drop(self.0.read_to_end(&mut body)?),
        }
        Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
    }

    /// Waits for the first byte of an answer; an error if the connection ends before.
    pub(crate) fn await_byte(&mut self) -> io::Result<()> {
        match self.0.fill_buf()? {
            [] => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Whether the other side has closed already.
    pub(crate) fn has_been_closed(&self) -> bool {
        let stream = self.0.get_ref();
        stream.set_nonblocking(true).expect("a socket that does not block");
        let peeked = stream.peek(&mut [0]);
        stream.set_nonblocking(false).expect("a socket that blocks");
        !peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Whether the other side has closed, which this waits for.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.0.fill_buf().is_ok_and(<[u8]>::is_empty)
    }

    /// Waits until the other side has closed, or all is over.
    pub(crate) fn await_close(&mut self) {
        let _ = self.is_closed();
    }

    /// Waits for a line.
    pub(crate) fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}

/// One request on a connection of its own.
#[track_caller]
pub(crate) fn get(addr: &str, path: &str) -> Answer {
    let mut client = Client::connect(addr);
    client.send_last(path);
    client.receive()
}
