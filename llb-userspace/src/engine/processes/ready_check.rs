//! Asks workers that start over HTTP whether they are ready (`--ready-check`). The connection is led to that very worker, past
//! its group, so nobody is sent to it and nothing is counted; and no client's connection goes that way.

use std::{
    cell::RefCell,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::mpsc::Sender,
    task::{JoinSet, spawn_blocking},
    time::{sleep, timeout},
};

use super::Processes;
use crate::{
    engine::{core::Core, inbox::Message},
    fleet::{State, cgroup, find},
    kernel::Checks,
    model::{Address, Instant, WorkerId},
    sys::clock::now,
};

/// How long an answer may take; then it is asked again. Who checks wants to know soon.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How long llb reads on after the status, so that the worker does not see its answer refused.
const READ_ON: Duration = Duration::from_millis(100);

/// Between two questions: an eighth of the time that has passed since the first.
const EACH: u32 = 8;
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(500);

/// `HTTP/1.1 200`.
const STATUS_BYTES: usize = 12;

/// From this status on a worker is not ready.
const NOT_READY: u16 = 500;

/// How a worker that starts is asked.
#[derive(Clone)]
pub(in crate::engine) struct Checker {
    checks: Rc<RefCell<Checks>>,
    path: Rc<str>,
}

impl Checker {
    pub(in crate::engine) fn new(checks: Checks, path: &str) -> Self {
        Checker { checks: Rc::new(RefCell::new(checks)), path: path.into() }
    }
}

impl Processes {
    /// Asks a worker, at each of its listeners.
    pub(in crate::engine) fn check(&self, core: &mut Core, id: WorkerId) {
        let (Some(checker), Some(worker)) = (self.checker.clone(), core.supervisor.worker(id)) else { return };
        let listeners: Vec<(u64, Address)> =
            worker.listeners.iter().map(|listener| (listener.cookie, listener.address)).collect();
        let inbox = core.inbox.clone();
        let Some(running) = core.running.get_mut(&id) else { return };
        let pause = running
            .ready_check
            .began
            .map_or(Duration::ZERO, |began| (Duration::from_nanos(now().since(began)) / EACH).clamp(SHORTEST, LONGEST));
        running.ready_check.began.get_or_insert_with(now);
        let cgroup = running.cgroup.path().to_owned();
        running.tasks.spawn_local(async move {
            sleep(pause).await;
            checker.ask_all(id, &listeners, &cgroup, inbox).await;
        });
    }

    /// A worker that was asked has answered, or has not.
    pub(in crate::engine) fn checked(
        &self,
        core: &mut Core,
        id: WorkerId,
        answer: Result<String, String>,
        now: Instant,
    ) {
        match answer {
            Ok(said) => core.supervisor.answers(id, &said, now),
            Err(said) => {
                if let Some(running) = core.running.get_mut(&id) {
                    running.ready_check.said = Some(said);
                }
                if core.supervisor.worker(id).is_some_and(|worker| matches!(worker.state, State::Starting { .. })) {
                    self.check(core, id);
                }
            }
        }
    }
}

impl Checker {
    async fn ask_all(&self, id: WorkerId, listeners: &[(u64, Address)], cgroup: &Path, inbox: Sender<Message>) {
        let mut asked = JoinSet::new();
        for (cookie, address) in listeners.iter().copied() {
            let (checker, cgroup) = (self.clone(), cgroup.to_owned());
            asked.spawn_local(async move { (address, checker.ask(cookie, address, cgroup).await) });
        }
        let mut said = Vec::new();
        while let Some(Ok((address, answer))) = asked.join_next().await {
            said.push(match answer {
                Ok(status) if status < NOT_READY => {
                    // Before it joins its groups.
                    asked.shutdown().await;
                    let answer = Ok(format!("{} at {address} with {status}", self.path));
                    return drop(inbox.send(Message::Checked { id, answer }).await);
                }
                Ok(status) => format!("{address} answers {status}"),
                Err(error) => format!("{address} does not answer: {error}"),
            });
        }
        // A closed inbox is the end of the engine.
        let _ = inbox.send(Message::Checked { id, answer: Err(said.join(", ")) }).await;
    }

    /// The status with which a worker answers at one of its listeners.
    async fn ask(&self, cookie: u64, address: Address, cgroup: PathBuf) -> io::Result<u16> {
        let found = spawn_blocking(move || {
            let pids = cgroup::processes(&cgroup).map_err(io::Error::other)?;
            find::listener(&pids, cookie).map(|(copy, _)| copy).map_err(io::Error::other)
        });
        let listener = found.await.map_err(io::Error::other)??;
        let to = SocketAddr::new(reached_by(address.0.ip()), address.0.port());
        let asked = match self.ask_at(to, &listener).await {
            // A host without the loopback address of IPv6.
            Err(error) if to.ip() == Ipv6Addr::LOCALHOST && error.kind() == io::ErrorKind::AddrNotAvailable => {
                self.ask_at(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), to.port()), &listener).await
            }
            asked => asked,
        };
        let (connection, _directed) = asked?;
        // Kept, it would keep the listener alive.
        drop(listener);
        timeout(ANSWER_WITHIN, exchange(connection, &self.path, to)).await?
    }

    async fn ask_at(&self, to: SocketAddr, listener: &OwnedFd) -> io::Result<(TcpStream, Directed)> {
        let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.bind(SocketAddr::new(to.ip(), 0))?;
        let directed = Directed { checks: self.checks.clone(), from: socket.local_addr()?, to: to.port() };
        let descriptor = listener.as_raw_fd();
        directed.checks.borrow_mut().direct(directed.from, directed.to, descriptor).map_err(io::Error::other)?;
        Ok((timeout(ANSWER_WITHIN, socket.connect(to)).await??, directed))
    }
}

/// A connection that is led to a listener, until this is dropped.
struct Directed {
    checks: Rc<RefCell<Checks>>,
    from: SocketAddr,
    to: u16,
}

impl Drop for Directed {
    fn drop(&mut self) {
        self.checks.borrow_mut().end(self.from, self.to);
    }
}

/// An address of this machine at which a listener of this one is reached.
pub(in crate::engine) fn reached_by(listens: IpAddr) -> IpAddr {
    match listens {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

async fn exchange(mut connection: TcpStream, path: &str, to: SocketAddr) -> io::Result<u16> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {to}\r\nUser-Agent: llb-ready-check\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    connection.write_all(request.as_bytes()).await?;
    let mut head = [0; STATUS_BYTES];
    connection.read_exact(&mut head).await?;
    let status = status(&head).ok_or_else(|| io::Error::other("that is not HTTP/1"))?;
    let mut rest = [0; 4096];
    let read_on = async { while matches!(connection.read(&mut rest).await, Ok(1..)) {} };
    // One that keeps the connection open all the same has answered.
    let _ = timeout(READ_ON, read_on).await;
    Ok(status)
}

fn status(head: &[u8; STATUS_BYTES]) -> Option<u16> {
    let status = head.strip_prefix(b"HTTP/1.")?.get(2..)?;
    str::from_utf8(status).ok()?.parse().ok().filter(|status| (100..1_000).contains(status))
}

#[cfg(test)]
mod tests {
    use super::{reached_by, status};

    #[test]
    fn a_status_is_read_and_nothing_else() {
        assert_eq!([b"HTTP/1.1 200", b"HTTP/1.0 503"].map(status), [Some(200), Some(503)]);
        for other in [
            b"HTTP/2.0 200",
            b"HTTP/1.1 099",
            b"HTTP/1.1 2 0",
            b"SSH-2.0-Open",
            b"\x15\x03\x03\0\x02\x02\x46\0\0\0\0\0",
        ] {
            assert_eq!(status(other), None);
        }
    }

    #[test]
    fn a_listener_for_all_addresses_is_asked_at_the_loopback() {
        let pairs =
            [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("192.0.2.7", "192.0.2.7"), ("2001:db8::1", "2001:db8::1")];
        for (listens, at) in pairs {
            assert_eq!(reached_by(listens.parse().unwrap()).to_string(), at);
        }
    }
}
