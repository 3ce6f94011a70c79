//! `llb demo`: the same load on the same workers, one of them slow, once under the kernel's hash and once under llb.
//!
//! The flow: [`Plan`] -> arrivals -> load -> [`Summary`] -> [`picture`], with [`worker`]s that do not know about llb at
//! the other end. The starter of the fleet calls [`drive`] once for each side.

use std::{io, net::SocketAddr, time::Duration};

use self::arrivals::Work;
pub(crate) use self::{
    command::{run, work},
    load::Failure,
    summary::Summary,
};
use llb::model::Slot;

pub(crate) mod arrivals;
mod command;
pub(crate) mod load;
mod pacer;
pub(crate) mod picture;
pub(crate) mod summary;
mod wire;
pub(crate) mod worker;

/// Unmeasured load before a run: the workers have been touched and llb has seen each of them answer.
const WARM_UP: Duration = Duration::from_millis(500);

/// What a demo does. Both sides follow the same plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// How many workers share the port.
    pub workers: u32,
    /// The one whose work takes [`worker::SLOW_FACTOR`] times as long.
    pub slow_slot: Slot,
    /// Requests per second, on average.
    pub rate: u32,
    /// How long requests keep coming. The last answers come up to 5 s later.
    pub duration: Duration,
    /// Decides when each request is due and which are long.
    pub seed: u64,
}

impl Default for Plan {
    /// An eighth of 300/s is 37/s; a worker does 145/s of this work, the slow one 14/s. So the hash drowns the slow
    /// worker, while the other seven are three tenths busy with all of it. 4 s keep the whole demo to about 15 s: the
    /// hash's last requests take up to 5 s more to be given up.
    fn default() -> Plan {
        Plan { workers: 8, slow_slot: Slot(3), rate: 300, duration: Duration::from_secs(4), seed: 1 }
    }
}

/// Why a side of the demo has no summary.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    /// The whole warm-up failed.
    #[error("no demo worker answered at {addr}: the first request was {failure}")]
    NoAnswer {
        /// Where the fleet should have been.
        addr: SocketAddr,
        /// What became of the first request that ended.
        failure: Failure,
    },
    /// The plan is too small.
    #[error("{rate} requests/s for {duration:?} are no load: raise the rate or the duration")]
    NoLoad {
        /// The plan's requests per second.
        rate: u32,
        /// The plan's duration.
        duration: Duration,
    },
    /// The load generator could not run.
    #[error("the load generator needs a thread for its clock")]
    Pacer(#[from] io::Error),
}

/// Runs the plan's load against the fleet that already serves `addr`: a short warm-up, then the requests that count.
/// Returns when each has been answered or given up.
///
/// # Errors
/// If nobody answers the warm-up, if the plan has no short request, or if the load cannot start.
pub(crate) async fn drive(plan: &Plan, addr: SocketAddr) -> Result<Summary, DemoError> {
    warm_up(plan, addr).await?;
    let outcomes = load::run(addr, arrivals::poisson(plan.rate, plan.duration, plan.seed), wire::talk()).await?;
    Summary::of(&outcomes, plan.workers).ok_or(DemoError::NoLoad { rate: plan.rate, duration: plan.duration })
}

async fn warm_up(plan: &Plan, addr: SocketAddr) -> Result<(), DemoError> {
    // Other requests than the measured ones, and no long ones: they would outlast the warm-up.
    let mut arrivals = arrivals::poisson(plan.rate, WARM_UP, !plan.seed);
    arrivals.retain(|arrival| arrival.work == Work::Short);
    let mut failures = Vec::new();
    for outcome in load::run(addr, arrivals, wire::talk()).await? {
        match outcome.answer {
            Ok(_) => return Ok(()),
            Err(failure) => failures.push(failure),
        }
    }
    match failures.first() {
        Some(&failure) => Err(DemoError::NoAnswer { addr, failure }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{Ipv4Addr, TcpListener},
        thread,
    };

    use socket2::{Domain, Socket, Type};

    use super::*;

    const SMALL: Plan =
        Plan { workers: 2, slow_slot: Slot(9), rate: 100, duration: Duration::from_millis(500), seed: 1 };

    /// One of several listeners on a port; here nobody sets the option for us.
    fn listen(port: u16) -> TcpListener {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).unwrap();
        socket.listen(128).unwrap();
        socket.into()
    }

    #[tokio::test]
    async fn a_small_fleet_answers_all_and_all_of_it_answers() {
        let first = listen(0);
        let addr = first.local_addr().unwrap();
        let second = listen(addr.port());
        for (slot, listener) in [first, second].into_iter().enumerate() {
            thread::spawn(move || worker::serve_on(&listener, Slot(slot as u32), false));
        }
        let summary = drive(&SMALL, addr).await.unwrap();
        assert_eq!(summary.unanswered(), 0, "{:?}", summary.failed());
        assert_eq!(summary.requests(), arrivals::poisson(SMALL.rate, SMALL.duration, SMALL.seed).len());
        assert!(summary.answered_by(Slot(0)) > 0 && summary.answered_by(Slot(1)) > 0);
        assert!(summary.short_at(500) >= 5_000_000);
    }

    #[tokio::test]
    async fn a_fleet_that_is_not_there_is_an_error() {
        // Bound and not listening: so nobody else can take the port meanwhile.
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let addr = socket.local_addr().unwrap().as_socket().unwrap();
        let error = drive(&SMALL, addr).await.unwrap_err();
        assert!(error.to_string().ends_with("the first request was refused"), "{error}");
    }

    #[tokio::test]
    async fn a_plan_without_load_is_an_error() {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        let error = drive(&Plan { rate: 0, ..SMALL }, addr).await.unwrap_err();
        assert!(matches!(error, DemoError::NoLoad { rate: 0, .. }), "{error}");
    }

    #[test]
    fn the_default_plan_overloads_the_slow_worker_and_only_under_the_hash() {
        let plan = Plan::default();
        let arrivals = arrivals::poisson(plan.rate, plan.duration, plan.seed);
        let work_ms: u64 = arrivals.iter().map(|arrival| arrival.work.ms()).sum();
        let run_ms = plan.duration.as_millis() as u64;
        let slow_eighth_ms = work_ms * u64::from(worker::SLOW_FACTOR) / u64::from(plan.workers);
        assert!(slow_eighth_ms > 2 * run_ms, "{slow_eighth_ms}");
        assert!(work_ms / u64::from(plan.workers - 1) < run_ms / 2, "{work_ms}");
    }
}
