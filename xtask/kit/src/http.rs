//! A small HTTP/1.1 client. It connects where its thread is: in the network namespace of a test's stage, say.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

/// Far longer than any answer takes, also on a machine that has a bad minute.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a worker answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body; the tests' workers answer with their slot first.
    pub body: String,
}

impl Answer {
    /// Which worker it was.
    #[track_caller]
    pub fn slot(&self) -> u32 {
        assert_eq!(self.status, 200, "{self:?}");
        self.named_slot().unwrap_or_else(|| panic!("no slot: {self:?}"))
    }

    /// The same, whatever its status; none if it does not say.
    pub fn named_slot(&self) -> Option<u32> {
        self.body.split(' ').next()?.trim().parse().ok()
    }
}

/// One connection.
#[derive(Debug)]
pub struct Client(BufReader<TcpStream>);

impl Client {
    /// Connects, and sends nothing yet.
    #[track_caller]
    pub fn connect(addr: &str) -> Self {
        Self::try_connect(addr).unwrap_or_else(|error| panic!("{addr}: {error}"))
    }

    /// Connects, and sends nothing yet; an error also if nobody takes the connection.
    pub fn try_connect(addr: &str) -> io::Result<Self> {
        let addr: SocketAddr = addr.parse().expect("an address and port");
        Self::over(TcpStream::connect_timeout(&addr, PATIENCE)?)
    }

    /// Goes on with a connection, or one that is being made.
    pub fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Client(BufReader::new(stream)))
    }

    /// The connection itself.
    pub fn stream(&self) -> &TcpStream {
        self.0.get_ref()
    }

    /// Sends a request that keeps the connection alive.
    #[track_caller]
    pub fn send(&mut self, path: &str) {
        self.write(&format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
    }

    /// Sends a request after which the worker is to close.
    #[track_caller]
    pub fn send_last(&mut self, path: &str) {
        self.try_send_last(path).expect("a connection that takes a request");
    }

    /// Sends a request after which the worker is to close; an error if it has done so already.
    pub fn try_send_last(&mut self, path: &str) -> io::Result<()> {
        self.try_write(&format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"))
    }

    /// Sends no more, and can still receive.
    #[track_caller]
    pub fn shut_down_sending(&mut self) {
        // Too late if the worker has ended it.
        let _ = self.0.get_ref().shutdown(Shutdown::Write);
    }

    /// Sends any bytes.
    #[track_caller]
    pub fn write(&mut self, text: &str) {
        self.try_write(text).expect("a connection that takes a request");
    }

    /// Sends any bytes; an error if the connection has ended.
    pub fn try_write(&mut self, text: &str) -> io::Result<()> {
        self.0.get_mut().write_all(text.as_bytes())
    }

    /// Waits for the answer.
    #[track_caller]
    pub fn receive(&mut self) -> Answer {
        self.try_receive().unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    /// Waits for the answer; an error also if the worker closes without one.
    pub fn try_receive(&mut self) -> io::Result<Answer> {
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
    pub fn await_byte(&mut self) -> io::Result<()> {
        match self.0.fill_buf()? {
            [] => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Whether the other side has closed already.
    pub fn has_been_closed(&self) -> bool {
        has_been_closed(self.stream())
    }

    /// Whether the other side has closed, which this waits for.
    pub fn is_closed(&mut self) -> bool {
        self.0.fill_buf().is_ok_and(<[u8]>::is_empty)
    }

    /// Waits until the other side has closed, or all is over.
    pub fn await_close(&mut self) {
        let _ = self.is_closed();
    }

    /// Waits for a line.
    pub fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}

/// Whether the other side of a connection has closed already.
pub fn has_been_closed(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket that does not block");
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).expect("a socket that blocks");
    !peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// One request on a connection of its own.
#[track_caller]
pub fn get(addr: &str, path: &str) -> Answer {
    try_get(addr, path).unwrap_or_else(|error| panic!("{addr}: {error}"))
}

/// The same; an error if it is not answered.
pub fn try_get(addr: &str, path: &str) -> io::Result<Answer> {
    let mut client = Client::try_connect(addr)?;
    client.try_send_last(path)?;
    client.try_receive()
}
