//! A client of HTTP/1.1 that says when, and how, it lost a request. That takes each byte and each error of the connection, which the
//! client of `llb_kit` does not show.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use llb_kit::clock::now;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long the reset may take that a request gets which finds its connection closed, beside the time that the close has taken. llb has the
/// kernel take no bytes of a connection that it closes, so this client sends them again until they meet the close: after 200 ms, and
/// then each time after twice as long.
const RESET: Duration = Duration::from_secs(1);

/// How a request was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Nobody took the connection.
    Refused,
    /// The server had closed before the request reached it: they crossed on the wire.
    Crossed,
    /// The request reached an open connection, and the server closed it without reading all of it.
    Unread,
    /// The server read the request, and ended the connection without an answer: it was lost in work.
    Cut,
    /// Nothing came for longer than anything takes.
    Unanswered,
    /// The answer broke off.
    Torn,
    /// The answer is none, or not the one that was asked for.
    Wrong,
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) body: Vec<u8>,
    pub(crate) keeps: bool,
    pub(crate) took: Duration,
}

/// Connects.
pub(crate) fn connect(address: &str) -> Result<TcpStream, Lost> {
    let refused = |_| Lost::Refused;
    let stream = TcpStream::connect_timeout(&address.parse().expect("an address"), PATIENCE).map_err(refused)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(refused)?;
    stream.set_nodelay(true).map_err(refused)?;
    Ok(stream)
}

/// Asks by POST and waits for the whole answer.
pub(crate) fn post(stream: &mut TcpStream, path: &str, keep: bool) -> Result<Answer, Lost> {
    let close = if keep { "" } else { "Connection: close\r\n" };
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n{close}\r\n{{}}"
    );
    exchange(stream, &request)
}

/// Asks by GET, on a connection that is to be kept or not.
pub(crate) fn get(stream: &mut TcpStream, path: &str, keep: bool) -> Result<Answer, Lost> {
    let close = if keep { "" } else { "Connection: close\r\n" };
    exchange(stream, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{close}\r\n"))
}

/// Sends bytes, and waits until these come back first; any bytes where `expected` is empty.
pub(crate) fn say(stream: &mut TcpStream, ask: &[u8], expected: &[u8]) -> Result<Answer, Lost> {
    let sent = now();
    stream.write_all(ask).map_err(|_| Lost::Crossed)?;
    let mut got = Vec::new();
    while got.len() < expected.len().max(1) {
        read_on(stream, &mut got, sent)?;
    }
    if !got.starts_with(expected) {
        return Err(Lost::Wrong);
    }
    Ok(Answer { body: got, keeps: true, took: sent.elapsed() })
}

fn exchange(stream: &mut TcpStream, request: &str) -> Result<Answer, Lost> {
    let sent = now();
    stream.write_all(request.as_bytes()).map_err(|_| Lost::Crossed)?;
    let mut got = Vec::new();
    let head = loop {
        if let Some(end) = find(&got, b"\r\n\r\n") {
            break end + 4;
        }
        read_on(stream, &mut got, sent)?;
    };
    let text = String::from_utf8_lossy(&got[..head]).to_ascii_lowercase();
    if !text.starts_with("http/1.1 200") && !text.starts_with("http/1.0 200") {
        return Err(Lost::Wrong);
    }
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let length = field("content-length:").and_then(|length| length.parse::<usize>().ok());
    let chunked = field("transfer-encoding:") == Some("chunked");
    let keeps = field("connection:") != Some("close") && (length.is_some() || chunked) && text.starts_with("http/1.1");
    loop {
        let body = &got[head..];
        let is_whole = match length {
            Some(length) => body.len() >= length,
            None => chunked && body.ends_with(b"0\r\n\r\n"),
        };
        if is_whole {
            break;
        }
        match more(stream, &mut got) {
            Ok(0) if length.is_none() && !chunked => break,
            Ok(0) | Err(_) => return Err(Lost::Torn),
            Ok(_) => {}
        }
    }
    Ok(Answer { body: got.split_off(head), keeps, took: sent.elapsed() })
}

/// Reads more of an answer that has to go on, of a request that was sent at `sent`.
fn read_on(stream: &mut TcpStream, got: &mut Vec<u8>, sent: Instant) -> Result<(), Lost> {
    match more(stream, got) {
        Ok(0) | Err(_) if !got.is_empty() => Err(Lost::Torn),
        Ok(0) => Err(closed(stream, sent.elapsed())),
        Err(error) => Err(broken(&error)),
        Ok(_) => Ok(()),
    }
}

/// Who had the request when the connection was closed without a byte of an answer. A kernel answers bytes that find their
/// connection closed with a reset; where none comes, the program had read all of them before it closed.
fn closed(stream: &TcpStream, after: Duration) -> Lost {
    let since = now();
    while since.elapsed() < after + RESET {
        match stream.take_error() {
            Ok(None) => thread::sleep(Duration::from_millis(1)),
            Ok(Some(_)) | Err(_) => return Lost::Crossed,
        }
    }
    Lost::Cut
}

/// The same when it broke. A kernel resets a connection that is closed while some of what has come is unread.
fn broken(error: &io::Error) -> Lost {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Lost::Unanswered,
        io::ErrorKind::BrokenPipe => Lost::Crossed,
        _ => Lost::Unread,
    }
}

fn more(stream: &mut TcpStream, got: &mut Vec<u8>) -> io::Result<usize> {
    let mut buffer = [0; 4096];
    let read = stream.read(&mut buffer)?;
    got.extend_from_slice(&buffer[..read]);
    Ok(read)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use nix::libc;
    use socket2::{SockFilter, SockRef};

    use super::*;

    fn served(answer: &'static [u8], after: Duration) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            assert_ne!(stream.read(&mut [0; 1024]).unwrap(), 0);
            thread::sleep(after);
            stream.write_all(answer).unwrap();
        });
        connect(&address).unwrap()
    }

    #[test]
    fn whole_answers_are_told_from_torn_ones() {
        let ask = |answer| post(&mut served(answer, Duration::ZERO), "/", true).map(|answer| answer.keeps);
        assert_eq!(ask(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1"), Ok(true));
        assert_eq!(ask(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"), Ok(true));
        assert_eq!(ask(b"HTTP/1.1 200 OK\r\n\r\nto the end"), Ok(false));
        assert_eq!(ask(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1"), Err(Lost::Torn));
        assert_eq!(ask(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"), Err(Lost::Torn));
        assert_eq!(ask(b"HTTP/1.1 502 Bad Gateway\r\n\r\n"), Err(Lost::Wrong));
    }

    /// How a request ends on a connection that the server handles like this, before or after it is asked.
    fn lost(serve: impl FnOnce(TcpStream) + Send + 'static, before: bool) -> Lost {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = connect(&listener.local_addr().unwrap().to_string()).unwrap();
        let accepted = listener.accept().unwrap().0;
        let server = thread::spawn(move || serve(accepted));
        while before && !server.is_finished() {
            thread::yield_now();
        }
        let lost = post(&mut stream, "/", true).unwrap_err();
        server.join().unwrap();
        lost
    }

    #[test]
    fn a_request_that_was_read_is_cut() {
        let serve = |mut stream: TcpStream| {
            let mut got = Vec::new();
            while !got.ends_with(b"{}") {
                assert_ne!(more(&mut stream, &mut got).unwrap(), 0);
            }
        };
        assert_eq!(lost(serve, false), Lost::Cut);
    }

    #[test]
    fn a_request_that_meets_a_close_has_crossed() {
        assert_eq!(lost(drop, true), Lost::Crossed);
    }

    #[test]
    fn a_request_that_a_closing_kernel_drops_has_crossed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // What is accepted inherits it.
        SockRef::from(&listener).attach_filter(&NO_LONG_SEGMENT).unwrap();
        let mut stream = connect(&listener.local_addr().unwrap().to_string()).unwrap();
        let server = thread::spawn(move || {
            let accepted = listener.accept().unwrap();
            // It is asked meanwhile.
            thread::sleep(Duration::from_millis(50));
            drop(accepted);
        });
        assert_eq!(post(&mut stream, "/", true), Err(Lost::Crossed));
        server.join().unwrap();
    }

    /// Drops what is longer than a TCP header.
    const NO_LONG_SEGMENT: [SockFilter; 4] = [
        SockFilter::new((libc::BPF_LD | libc::BPF_W | libc::BPF_LEN) as u16, 0, 0, 0),
        SockFilter::new((libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16, 0, 1, 60),
        SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, 0),
        SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, u32::MAX),
    ];

    #[test]
    fn a_request_that_nobody_reads_is_told() {
        let serve = |stream: TcpStream| while stream.peek(&mut [0; 4096]).unwrap() == 0 {};
        assert_eq!(lost(serve, false), Lost::Unread);
    }
}
