//! Connects to one worker and no other, through its own listener and the selector. It counts
//! in the worker's books as any connection does, and in none of the selector's outcomes.

use std::{
    cell::RefCell,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::OwnedFd,
    path::PathBuf,
    rc::Rc,
    time::Duration,
};

use tokio::{
    net::{TcpSocket, TcpStream},
    sync::mpsc::Sender,
    task::spawn_blocking,
    time::timeout,
};

use super::ask::ask;
use crate::{
    control::{Failed, FailureKind},
    engine::{core::Core, inbox::Message, processes::reached_by},
    fleet::{Unreachable, cgroup, find, pick},
    kernel::{Joined, Limit, Reaches},
    model::{Address, Slot},
};

/// How long a worker's queue may take to take the connection; a full one takes none.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// A listener that is to be reached.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Target {
    cookie: u64,
    address: Address,
    joined: Joined,
    cgroup: PathBuf,
}

/// Who connects to single workers.
#[derive(Clone)]
pub(in crate::engine) struct Reacher {
    inbox: Sender<Message>,
    reaches: Rc<RefCell<Reaches>>,
}

/// A connection to one worker. The selector lets nobody else have it, also if that worker's queue is given to others, as long as
/// this is kept.
pub(in crate::engine) struct Reached {
    pub stream: TcpStream,
    pub entry: Entry,
}

/// What the selector knows of it.
pub(in crate::engine) struct Entry {
    reaches: Rc<RefCell<Reaches>>,
    from: SocketAddr,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.reaches.borrow_mut().end(self.from);
    }
}

impl Core {
    /// The listener that a slot and a port mean.
    pub(in crate::engine) fn target(&self, slot: Slot, port: Option<Limit>) -> Result<Target, Unreachable> {
        let (worker, listener) = pick(self.supervisor.workers(), slot, port)?;
        let joined = self.updater.steering().joined(listener.cookie).ok_or(Unreachable::NotJoined(slot))?;
        let running = self.running.get(&worker.id).ok_or(Unreachable::NoWorker(slot))?;
        let cgroup = running.cgroup.path().to_owned();
        Ok(Target { cookie: listener.cookie, address: listener.address, joined, cgroup })
    }

    /// Lets the selector find a listener that has left its group, unless it has joined again meanwhile.
    pub(in crate::engine) fn admit(&mut self, cookie: u64, listener: OwnedFd) -> io::Result<()> {
        match self.updater.steering().joined(cookie) {
            Some(joined) if !joined.is_member => {
                self.updater.steering_mut().admit(joined, listener).map_err(io::Error::other)
            }
            _ => Ok(()),
        }
    }
}

impl Reacher {
    pub(in crate::engine) fn new(inbox: Sender<Message>, reaches: Reaches) -> Self {
        Reacher { inbox, reaches: Rc::new(RefCell::new(reaches)) }
    }

    /// Connects to a slot's worker.
    ///
    /// # Errors
    /// Why not: refused if there is none, or failed.
    pub(in crate::engine) async fn connect(&self, slot: Slot, port: Option<Limit>) -> Result<Reached, Failed> {
        let failed = |failure| move |error: String| Failed { error, failure: Some(failure) };
        let gone = |_| failed(FailureKind::Failed)("llb ends".into());
        let target = ask(&self.inbox, |reply| Message::Reach { slot, port, reply }).await.map_err(gone)?;
        let target = target.map_err(|error| failed(FailureKind::Refused)(error.to_string()))?;
        let address = target.address;
        self.connect_to(target).await.map_err(|error| {
            failed(FailureKind::Failed)(format!("the worker in slot {slot} takes no connection at {address}: {error}"))
        })
    }

    async fn connect_to(&self, target: Target) -> io::Result<Reached> {
        let Target { cookie, address, joined, cgroup } = target;
        if !joined.is_member {
            let found = spawn_blocking(move || {
                let pids = cgroup::processes(&cgroup).map_err(io::Error::other)?;
                find::listener(&pids, cookie).map(|(copy, _)| copy).map_err(io::Error::other)
            });
            let listener = found.await.map_err(io::Error::other)??;
            ask(&self.inbox, |reply| Message::Admit { cookie, listener, reply }).await??;
        }
        let to = SocketAddr::new(reached_by(address.0.ip()), address.0.port());
        match self.connect_at(to, joined).await {
            // A host without the loopback address of IPv6.
            Err(error) if to.ip() == Ipv6Addr::LOCALHOST && error.kind() == io::ErrorKind::AddrNotAvailable => {
                self.connect_at(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), to.port()), joined).await
            }
            connected => connected,
        }
    }

    async fn connect_at(&self, to: SocketAddr, joined: Joined) -> io::Result<Reached> {
        let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // From here on the port is ours alone.
        socket.bind(SocketAddr::new(to.ip(), 0))?;
        let from = socket.local_addr()?;
        self.reaches.borrow_mut().enter(from, joined).map_err(io::Error::other)?;
        let entry = Entry { reaches: self.reaches.clone(), from };
        let stream = timeout(CONNECT_WITHIN, socket.connect(to)).await??;
        if !self.reaches.borrow().is_made(from) {
            return Err(io::Error::other("another listener is at that address"));
        }
        Ok(Reached { stream, entry })
    }
}
