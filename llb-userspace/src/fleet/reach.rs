//! Which worker, and which of its listeners, is meant by a slot and a port.

use std::collections::BTreeSet;

use super::{Listener, State, Worker};
use crate::{
    kernel::Limit,
    model::{Address, Slot},
};

/// Why there is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// Nobody is there.
    #[error("no worker is in slot {0}")]
    NoWorker(Slot),
    /// Nobody listens there.
    #[error("the worker in slot {0} does not listen on {1}")]
    NotThere(Slot, Limit),
    /// It does not listen at all, or has not joined a group yet.
    #[error("the worker in slot {0} has not joined")]
    NotJoined(Slot),
    /// Several are meant.
    #[error("the worker in slot {0} listens on several ports: say by --port which of {1}")]
    Ambiguous(Slot, String),
}

/// The slot's worker that serves, or else the newest of it, and the listener at `port`, or else at the only port that it has.
///
/// # Errors
/// [`Unreachable`].
pub fn pick<'a>(
    workers: impl Iterator<Item = &'a Worker>,
    slot: Slot,
    port: Option<Limit>,
) -> Result<(&'a Worker, &'a Listener), Unreachable> {
    let listens = |worker: &Worker| worker.listeners.iter().any(|listener| listener.seat.is_some());
    let rank = |worker: &&Worker| (listens(worker), worker.state == State::Serving, worker.id);
    let worker = workers.filter(|worker| worker.slot == slot).max_by_key(rank).ok_or(Unreachable::NoWorker(slot))?;
    let mut listeners: Vec<&Listener> = worker.listeners.iter().filter(|listener| listener.seat.is_some()).collect();
    listeners.sort_by_key(|listener| listener.address);
    if let Some(limit) = port {
        listeners.retain(|listener| is_at(listener.address, limit));
    }
    let ports: BTreeSet<u16> = listeners.iter().map(|listener| listener.address.0.port()).collect();
    match (listeners.first(), ports.len(), port) {
        (Some(listener), 1, _) => Ok((worker, listener)),
        (None, _, Some(limit)) => Err(Unreachable::NotThere(slot, limit)),
        (None, _, None) => Err(Unreachable::NotJoined(slot)),
        (Some(_), ..) => {
            let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
            Err(Unreachable::Ambiguous(slot, ports.join(", ")))
        }
    }
}

fn is_at(Address(address): Address, limit: Limit) -> bool {
    address.port() == limit.port && limit.addr.is_none_or(|addr| addr == address.ip())
}

#[cfg(test)]
mod tests {
    use super::{Unreachable, pick};
    use crate::{
        fleet::{Listener, State, Worker},
        kernel::Limit,
        model::{Address, Generation, Instant, Seat, Slot, WorkerId},
    };

    const DRAINING: State = State::Draining { earliest: Instant(0), relaxed: Instant(0), deadline: Instant(0) };

    fn worker(id: u64, slot: u32, state: State, at: &[&str]) -> Worker {
        let mut worker = Worker::new(WorkerId(id), Slot(slot), Generation(1), state, Instant(0));
        let listener = |(text, cookie): (&&str, u64)| {
            let address = Address(text.parse().unwrap());
            Listener { seat: Some(Seat(id as u32)), ..Listener::new(cookie, address) }
        };
        worker.listeners = at.iter().zip(id * 10..).map(listener).collect();
        worker
    }

    fn picked(workers: &[Worker], slot: u32, port: Option<Limit>) -> Result<u64, Unreachable> {
        pick(workers.iter(), Slot(slot), port).map(|(_, listener)| listener.cookie)
    }

    #[test]
    fn who_serves_is_meant_before_who_drains_or_starts() {
        let old = worker(1, 0, DRAINING, &["0.0.0.0:80"]);
        let new = worker(2, 0, State::Serving, &["0.0.0.0:80"]);
        let starting = worker(3, 0, State::Starting { deadline: Instant(0) }, &[]);
        assert_eq!(picked(&[old.clone(), new], 0, None), Ok(20));
        assert_eq!(picked(&[old.clone(), starting.clone()], 0, None), Ok(10), "it can still be reached");
        assert_eq!(picked(std::slice::from_ref(&old), 0, None), Ok(10));
        assert_eq!(picked(&[starting], 0, None), Err(Unreachable::NotJoined(Slot(0))));
        assert_eq!(picked(&[old], 1, None), Err(Unreachable::NoWorker(Slot(1))));
    }

    #[test]
    fn a_port_is_asked_for_only_where_there_are_several() {
        let both = [worker(1, 0, State::Serving, &["[::]:80", "0.0.0.0:80"])];
        assert_eq!(picked(&both, 0, None), Ok(11), "one port, two families");
        let six = Limit { addr: Some("::".parse().unwrap()), port: 80 };
        assert_eq!(picked(&both, 0, Some(six)), Ok(10));
        let several = [worker(1, 0, State::Serving, &["0.0.0.0:80", "0.0.0.0:90"])];
        assert_eq!(picked(&several, 0, None), Err(Unreachable::Ambiguous(Slot(0), "80, 90".into())));
        let port = |port| Some(Limit { addr: None, port });
        assert_eq!(picked(&several, 0, port(90)), Ok(11));
        assert_eq!(
            picked(&several, 0, port(91)).unwrap_err().to_string(),
            "the worker in slot 0 does not listen on 91"
        );
    }
}
