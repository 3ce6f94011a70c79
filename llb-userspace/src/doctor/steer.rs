//! A fleet of three that is steered: each step of a worker's way to its connections.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io,
    net::{Ipv4Addr, SocketAddr},
    os::fd::OwnedFd,
    time::Duration,
};

use llb_common::{
    abi::MAX_SEATS,
    outcome::{Outcome, Stage},
    policy::Policy,
};
use socket2::{Domain, Socket, Type};
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

use super::{
    fixture::{CgroupFixture, Helper},
    missing::{Missing, Tried},
};
use crate::{
    fleet::find,
    kernel::{EventKind, Options, Publication, Steering},
    model::{Address, Instant, Seat, Slot, WorkerId},
    registry::{self, Reconciler, Registry, State, Want},
    sys::{clock::now, socket},
};

/// Two that answer, and one on which connections wait.
const WORKERS: u32 = 3;
/// The one on which connections wait.
pub(super) const IDLE: Slot = Slot(WORKERS - 1);

/// Connections that are steered, to the two that answer in turn.
const CONNECTIONS: u32 = 8;

/// How long events and answers may take; they take less than a millisecond.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

const OTHER_PROGRAMS: &str = "see whether another program is attached to this cgroup or above it and interferes: \
    bpftool cgroup tree";

const LOOPBACK: &str = "llb tries itself on 127.0.0.1: ip link set lo up";

const REPORT: &str = "report this with `llb doctor --json` and `uname -a`";

/// The workers, and the port that they share.
pub(super) struct FleetFixture {
    pub address: SocketAddr,
    pub helpers: Vec<Helper>,
    /// Keeps the port from everybody who does not share it, until the workers are gone.
    _reservation: Socket,
}

pub(super) fn attach(fixture: &CgroupFixture) -> Tried<Steering> {
    let remedy = "see that CONFIG_CGROUP_BPF is set, and that no program above this cgroup forbids others \
        (bpftool cgroup tree)";
    let failed = |error: &dyn std::error::Error| Missing::error(error, remedy);
    let options = Options { cgroup_level: fixture.worker_level(), limits: Vec::new(), keeps_books: true, sticky: None };
    let mut steering = Steering::load(&options).map_err(|error| failed(&error))?;
    let directory = File::open(fixture.cgroup().path()).map_err(|error| failed(&error))?;
    steering.attach(&directory).map_err(|error| failed(&error))?;
    Ok((steering, "seven programs to the workers' cgroup".into()))
}

/// Starts workers that all bind one port and do not ask to share it.
pub(super) async fn bind(fixture: &mut CgroupFixture) -> Tried<FleetFixture> {
    let (reservation, address) =
        reserve().map_err(|error| Missing::new(format!("no port on 127.0.0.1: {error}"), LOOPBACK))?;
    let mut helpers = Vec::new();
    for slot in (0..WORKERS).map(Slot) {
        let mut args = vec!["--port".to_owned(), address.port().to_string()];
        args.extend((slot == IDLE).then(|| "--idle".to_owned()));
        helpers.push(fixture.spawn(slot, &args, None)?);
    }
    for (slot, helper) in helpers.iter_mut().enumerate() {
        let word = helper.word().await.unwrap_or_else(|error| error.to_string());
        if !word.is_empty() {
            return Err(Missing::new(format!("worker {slot} cannot share {address}: {word}"), OTHER_PROGRAMS));
        }
    }
    let detail = format!("{WORKERS} workers, none of which asked for SO_REUSEPORT, listen on {address}");
    Ok((FleetFixture { address, helpers, _reservation: reservation }, detail))
}

/// A port that nobody else can get: bound, not listening, and shared only with sockets that have `SO_REUSEPORT`.
fn reserve() -> io::Result<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_port(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    let address = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok((socket, address))
}

/// Hears of each worker's listener from the kernel; returns their cookies.
pub(super) async fn hear(steering: &mut Steering, fleet: &FleetFixture) -> Tried<Vec<u64>> {
    let mut heard = HashMap::new();
    let mut cookies = Vec::new();
    let mut events =
        steering.take_events().map_err(|error| Missing::error(&error, "let llb open more files (ulimit -n)"))?;
    let all = async {
        while let Some(events) = &mut events {
            for event in events.next().await? {
                if event.kind == EventKind::Listen && event.address.0 == fleet.address {
                    heard.insert(event.cgroup, event.cookie);
                }
            }
            cookies = fleet.helpers.iter().filter_map(|helper| heard.get(&helper.cgroup.id()).copied()).collect();
            if cookies.len() == fleet.helpers.len() {
                break;
            }
        }
        Ok::<_, io::Error>(())
    };
    let waited = timeout(PATIENCE, all).await.map_err(io::Error::from).flatten();
    if cookies.len() < fleet.helpers.len() {
        let why = waited.err().map_or_else(String::new, |error| format!(" ({error})"));
        let what = format!("the kernel told of {} of {WORKERS} listeners{why}", cookies.len());
        return Err(Missing::new(what, OTHER_PROGRAMS));
    }
    Ok((cookies, format!("the kernel told of all {WORKERS} listeners, and whose they are")))
}

/// Takes a copy of each worker's listener.
pub(super) fn find(fleet: &FleetFixture, cookies: &[u64]) -> Tried<Vec<OwnedFd>> {
    let remedy = "give llb CAP_SYS_PTRACE (a container: --cap-add SYS_PTRACE, with which its seccomp profile allows \
                  pidfd_getfd(), too), and set kernel.yama.ptrace_scope below 3";
    let mut listeners = Vec::new();
    for (helper, cookie) in fleet.helpers.iter().zip(cookies) {
        let processes = helper.cgroup.processes().map_err(|error| Missing::error(&error, remedy))?;
        let (listener, _) = find::listener(&processes, *cookie).map_err(|error| Missing::error(&error, remedy))?;
        if !socket::has_reuseport(&listener).unwrap_or(false) {
            return Err(Missing::new(format!("a listener on {} has no SO_REUSEPORT", fleet.address), OTHER_PROGRAMS));
        }
        listeners.push(listener);
    }
    Ok((listeners, "each listener was found in its worker".into()))
}

/// Puts the listeners into one group, worker by worker in seats of the same number.
pub(super) fn join(steering: &mut Steering, fleet: &FleetFixture, listeners: Vec<OwnedFd>) -> Tried<()> {
    let mut registry = Registry::default();
    let address = Address(fleet.address);
    let mut copies = BTreeMap::new();
    for (number, listener) in (0..).zip(listeners) {
        let cookie = socket::cookie(&listener).map_err(|error| Missing::error(&error, OTHER_PROGRAMS))?;
        let (worker, seat) = (WorkerId(u64::from(number)), Some(Seat(number)));
        registry.enter(registry::Socket { cookie, address, udp: false, worker, seat, state: State::Joined });
        copies.insert(cookie, listener);
    }
    let find = |want: &Want| copies.remove(&want.cookie).ok_or_else(|| "it is gone".into());
    let report = steering.reconcile(&mut Reconciler::default(), &registry.desired([0; 4]), find, Instant(0));
    if let Some(failure) = report.failed.first() {
        return Err(Missing::error(&*failure.error, "raise net.core.optmem_max, and the memory limit of llb's cgroup"));
    }
    Ok(((), format!("{WORKERS} listeners are one group, with the selector attached")))
}

/// Publishes one worker after the other as the one to choose, and sees who answers.
pub(super) async fn select(steering: &Steering, fleet: &FleetFixture) -> Tried<()> {
    for connection in 0..CONNECTIONS {
        let wanted = connection % IDLE.0;
        choose(steering, Seat(wanted));
        let answer = ask(fleet.address).await;
        if !answer.as_ref().is_ok_and(|answer| u32::from(*answer) == wanted) {
            let (came, remedy) = match answer {
                Err(error) if error.kind() == io::ErrorKind::NetworkUnreachable => (error.to_string(), LOOPBACK),
                Err(error) => (error.to_string(), REPORT),
                Ok(other) => (format!("worker {other} answered"), REPORT),
            };
            let what = format!("a connection was meant for worker {wanted}: {came} ({})", counted(steering));
            return Err(Missing::new(what, remedy));
        }
    }
    Ok(((), format!("{CONNECTIONS} of {CONNECTIONS} connections went where they were meant to")))
}

/// Has the kernel choose `seat` from now on.
pub(super) fn choose(steering: &Steering, seat: Seat) {
    steering.books().publish(
        Policy::Argmin,
        &Publication { least: Some(seat), near: [0; 4], cost_ns: &[0; MAX_SEATS] },
        now(),
    );
}

/// The number of the worker that answers a connection.
pub(super) async fn ask(address: SocketAddr) -> io::Result<u8> {
    timeout(PATIENCE, async { TcpStream::connect(address).await?.read_u8().await }).await?
}

/// What the selector has done, for a line that says what is wrong.
pub(super) fn counted(steering: &Steering) -> String {
    let Ok(counters) = steering.counters() else { return "no counters".into() };
    let seen = Outcome::ALL.iter().filter(|outcome| counters.get(**outcome) > 0);
    let counts: Vec<_> = seen.map(|outcome| format!("{} {}", outcome.name(), counters.get(*outcome))).collect();
    if counters.total(Stage::Select) == 0 { "the selector never ran".into() } else { counts.join(", ") }
}
