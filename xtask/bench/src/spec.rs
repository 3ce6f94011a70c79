//! What a scenario means: its workers, its load, who takes part, and for how long.

use std::time::Duration;

use super::peer::Peer;
use super::scenario::Scenario;

/// Work of most requests of a heavy tail, µs.
pub(super) const SHORT_US: u64 = 5_000;

/// Work of the few long ones, µs.
pub(super) const LONG_US: u64 = 200_000;

/// Clients of a closed loop.
pub(crate) const CLIENTS: usize = 32;

/// Requests on a connection that is kept.
const KEPT_FOR: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One request at a time, and the kernel's queue holds the others.
    Blocking,
    /// An event loop with many connections; while it works it does nothing else.
    Events,
    /// An event loop in Node.
    Node,
}

/// How much work a request asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Work {
    Always(u64),
    /// One in `long_one_in` is long, and its latency does not count: it is mostly its own work.
    Tail {
        short_us: u64,
        long_us: u64,
        long_one_in: u64,
    },
    /// Exponential, with this mean in µs.
    Exponential(f64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Load {
    /// Connections come when they are due, whatever became of those before.
    Open {
        connections_per_second: f64,
        requests_each: usize,
        /// Mean time between the requests of a connection.
        gap: Duration,
        work: Work,
    },
    /// So many clients ask as fast as they are answered.
    Closed { clients: usize, requests_each: usize },
}

/// One worker stands still for a while.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    pub(super) slot: usize,
    pub(super) after: Duration,
    pub(super) lasts: Duration,
}

/// What tells a quiet machine from a bad minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// The shared queue is near the ideal for the same requests.
    Ideal,
    /// Nobody comes near an ideal here; the load generator was on time.
    OnTime,
    /// The shared queue gives about as many answers as in the other rounds.
    Usual,
}

#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub(super) kind: Kind,
    /// How many times longer than usual each worker's work takes; as many as there are workers.
    pub(super) slowness: Vec<f64>,
    /// What llb keeps track of.
    pub(super) tracking: &'static str,
    /// Memory that a worker computes on for each request, KiB.
    pub(super) walks_kib: usize,
    /// Requests a second that each worker reports, whatever it is asked.
    pub(super) reports: u32,
    pub(super) load: Load,
    pub(super) stop: Option<Stop>,
    pub(super) control: Control,
    /// How long each peer is measured.
    pub(super) duration: Duration,
    pub(super) peers: Vec<Peer>,
}

impl Spec {
    pub(super) fn workers(&self) -> usize {
        self.slowness.len()
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.load, Load::Closed { .. })
    }
}

/// `quick` leaves everybody out that need not be there, and measures a third as long.
pub(super) fn spec(scenario: Scenario, quick: bool) -> Spec {
    let mut spec = in_full(scenario);
    if quick {
        spec.peers.retain(|peer| *peer == Peer::PlainAgain || Peer::ALWAYS.contains(peer));
        spec.duration /= 3;
        if let Some(stop) = &mut spec.stop {
            (stop.after, stop.lasts) = (stop.after / 3, stop.lasts / 3);
        }
    }
    spec
}

fn in_full(scenario: Scenario) -> Spec {
    use Peer::{
        Argmin, Haproxy, HaproxyOne, Hash, Hooked, Line, Nginx, NoLine, NodeNone, NodeRr, PlainAgain, RoundRobin,
    };
    let base = |seconds: f64, load: Load, more: &[Peer]| Spec {
        kind: Kind::Blocking,
        tracking: "full",
        walks_kib: 0,
        reports: 0,
        slowness: vec![1.0; 8],
        load,
        stop: None,
        control: Control::Ideal,
        duration: Duration::from_secs_f64(seconds),
        peers: [&Peer::ALWAYS, more].concat(),
    };
    let tail = Work::Tail { short_us: SHORT_US, long_us: LONG_US, long_one_in: 50 };
    let sized = |workers: usize, per_second: f64, seconds: f64| Spec {
        slowness: vec![1.0; workers],
        ..base(seconds, single(per_second, tail), &[Line, NoLine, HaproxyOne])
    };
    let ours = [Line, NoLine, Argmin, RoundRobin, Hash, HaproxyOne];
    match scenario {
        Scenario::HeavyTail => base(
            6.0,
            single(400.0, tail),
            &[Line, NoLine, Argmin, RoundRobin, Hash, Haproxy, HaproxyOne, Nginx, NodeRr, NodeNone],
        ),
        Scenario::HeavyTail70 => base(6.0, single(630.0, tail), &[Line, NoLine, HaproxyOne]),
        Scenario::HeavyTail85 => base(8.0, single(765.0, tail), &[Line, NoLine, HaproxyOne]),
        Scenario::HeavyTail4 => sized(4, 200.0, 8.0),
        Scenario::HeavyTail16 => sized(16, 800.0, 4.0),
        Scenario::HeavyTail64 => sized(64, 3200.0, 3.0),
        Scenario::SlowOne => Spec {
            slowness: vec![1.0, 1.0, 1.0, 10.0, 1.0, 1.0, 1.0, 1.0],
            ..base(5.0, single(400.0, tail), &[&ours[..], &[Haproxy, Nginx]].concat())
        },
        Scenario::Unequal => {
            Spec { slowness: vec![1.0, 1.0, 1.5, 1.5, 2.0, 2.0, 4.0, 4.0], ..base(6.0, single(240.0, tail), &ours) }
        }
        Scenario::Stopped => Spec {
            stop: Some(Stop { slot: 3, after: Duration::from_secs(2), lasts: Duration::from_secs(2) }),
            ..base(6.0, single(400.0, Work::Always(SHORT_US)), &[Haproxy, HaproxyOne, Nginx])
        },
        Scenario::Node => Spec {
            kind: Kind::Node,
            slowness: vec![1.0; 4],
            control: Control::OnTime,
            ..base(
                5.0,
                single(300.0, Work::Tail { short_us: 2_000, long_us: 40_000, long_one_in: 25 }),
                &[NoLine, NodeRr, Haproxy, Nginx],
            )
        },
        Scenario::Cheap => Spec {
            control: Control::Usual,
            ..base(
                5.0,
                Load::Closed { clients: CLIENTS, requests_each: 1 },
                &[PlainAgain, Hooked, NoLine, RoundRobin, Hash, Haproxy, Nginx],
            )
        },
        Scenario::KeepAlive => Spec {
            kind: Kind::Events,
            control: Control::Usual,
            ..base(6.0, Load::Closed { clients: CLIENTS, requests_each: KEPT_FOR }, &[PlainAgain, Hooked, NoLine, Hash])
        },
        Scenario::HermesHighCheap => hermes(base(3.0, single(4000.0, Work::Exponential(500.0)), &[])),
        Scenario::HermesHighCheap50 => hermes(base(3.0, single(8000.0, Work::Exponential(500.0)), &[])),
        Scenario::HermesHighDear => hermes(base(3.0, single(500.0, Work::Exponential(8_000.0)), &[])),
        Scenario::HermesHighDear75 => hermes(base(3.0, single(750.0, Work::Exponential(8_000.0)), &[])),
        Scenario::HermesLowCheap => hermes(base(3.0, long(40.0, Work::Exponential(500.0)), &[])),
        Scenario::HermesLowCheap25 => hermes(base(3.0, long(80.0, Work::Exponential(500.0)), &[])),
        Scenario::HermesLowDear => hermes(base(5.0, long(8.0, Work::Exponential(8_000.0)), &[])),
        Scenario::HermesLowDear60 => hermes(base(5.0, long(12.0, Work::Exponential(8_000.0)), &[])),
    }
}

/// Hermes is about proxies, which are event loops. Their shared queue wakes one worker a connection, but not always an
/// idle one: it is no ideal.
fn hermes(spec: Spec) -> Spec {
    Spec { kind: Kind::Events, control: Control::OnTime, ..spec }
}

fn single(connections_per_second: f64, work: Work) -> Load {
    Load::Open { connections_per_second, requests_each: 1, gap: Duration::ZERO, work }
}

fn long(connections_per_second: f64, work: Work) -> Load {
    Load::Open { connections_per_second, requests_each: 50, gap: Duration::from_millis(20), work }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn whoever_must_be_there_is_there_and_nobody_twice() {
        for scenario in Scenario::value_variants() {
            for quick in [false, true] {
                let peers = spec(*scenario, quick).peers;
                assert!(Peer::ALWAYS.iter().all(|peer| peers.contains(peer)), "{scenario:?}");
                assert!(peers.iter().enumerate().all(|(at, peer)| !peers[..at].contains(peer)), "{scenario:?}");
            }
        }
    }

    #[test]
    fn a_scenario_has_one_name() {
        for scenario in Scenario::value_variants() {
            assert_eq!(scenario.to_possible_value().unwrap().get_name(), scenario.name());
        }
    }

    #[test]
    fn a_stop_is_over_before_the_load_is() {
        for quick in [false, true] {
            let spec = spec(Scenario::Stopped, quick);
            let stop = spec.stop.unwrap();
            assert!(stop.after + stop.lasts < spec.duration && stop.slot < spec.workers());
            assert!(stop.lasts > Duration::from_millis(300));
        }
    }
}
