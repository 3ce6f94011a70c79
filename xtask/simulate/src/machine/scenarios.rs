//! The machines that are simulated.

use crate::{MS, scenario::Work};

const US: u64 = 1_000;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Clients {
    /// So many, on the machine itself, each with a new connection as soon as it is answered: one event loop.
    Closed(usize),
    /// So many requests a second, from elsewhere.
    Open(f64),
    /// Now so many, now so many, for this many ns each.
    Swing { few: f64, many: f64, every: u64 },
}

impl Clients {
    /// Requests a second at a moment; those of a closed loop come when they are answered.
    pub(crate) fn rate(self, now: u64) -> f64 {
        match self {
            Clients::Closed(_) => 0.0,
            Clients::Open(rate) => rate,
            Clients::Swing { few, many, every } => {
                if (now / every).is_multiple_of(2) {
                    many
                } else {
                    few
                }
            }
        }
    }
}

/// One machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) cores: usize,
    pub(crate) workers: usize,
    pub(crate) clients: Clients,
    /// What a connection costs its worker in any case: accept, read, write, close, ns.
    pub(crate) connection_ns: u64,
    /// What is to be done besides, ns, and whether on a core or asleep.
    pub(crate) work: Work,
    pub(crate) sleeps: bool,
    pub(crate) requests: usize,
    /// A worker that takes ten times as long for the work.
    pub(crate) slow: Option<usize>,
}

const CHEAP: Machine = Machine {
    name: "machine-cheap",
    about: "32 clients on the machine, nothing to do but answer",
    cores: 2,
    workers: 8,
    clients: Clients::Closed(32),
    connection_ns: 20 * US,
    work: Work::Fixed(0.0),
    sleeps: false,
    requests: 60_000,
    slow: None,
};

/// All, in the order of the report.
pub(crate) const ALL: &[Machine] = &[
    CHEAP,
    Machine { name: "machine-cheap-few", about: "4 clients on the machine", clients: Clients::Closed(4), ..CHEAP },
    Machine { name: "machine-cheap-many", about: "256 clients", clients: Clients::Closed(256), ..CHEAP },
    Machine {
        name: "machine-cheap-8-cores",
        about: "8 cores, 128 clients",
        cores: 8,
        clients: Clients::Closed(128),
        ..CHEAP
    },
    Machine {
        name: "machine-cheap-32-on-4",
        about: "32 workers on 4 cores",
        cores: 4,
        workers: 32,
        clients: Clients::Closed(64),
        ..CHEAP
    },
    Machine {
        name: "machine-open-50",
        about: "20 us each, from elsewhere; half of the cores' time without wake-ups",
        clients: Clients::Open(50_000.0),
        ..CHEAP
    },
    Machine {
        name: "machine-open-80",
        about: "the same, four fifths of it",
        clients: Clients::Open(80_000.0),
        ..CHEAP
    },
    Machine {
        name: "machine-swing",
        about: "for 0.2 s more than the cores can do, then for 0.2 s a tenth of it",
        clients: Clients::Swing { few: 10_000.0, many: 105_000.0, every: 200 * MS },
        requests: 120_000,
        ..CHEAP
    },
    Machine {
        name: "machine-compute",
        about: "exponential 1 ms of computing, 70% of the cores",
        clients: Clients::Open(1_400.0),
        work: Work::Exponential(1.0 * MS as f64),
        requests: 20_000,
        ..CHEAP
    },
    Machine {
        name: "machine-compute-tail",
        about: "0.2 ms of computing, one of 50 takes 20 ms, 60% of the cores",
        clients: Clients::Open(1_900.0),
        work: Work::Two { short: 0.2 * MS as f64, long: 20.0 * MS as f64, one_in: 50.0 },
        requests: 20_000,
        ..CHEAP
    },
    Machine {
        name: "machine-sleep",
        about: "5 ms asleep, one of 50 takes 200 ms, 400 a second",
        clients: Clients::Open(400.0),
        work: Work::Two { short: 5.0 * MS as f64, long: 200.0 * MS as f64, one_in: 50.0 },
        sleeps: true,
        requests: 20_000,
        ..CHEAP
    },
    Machine {
        name: "machine-slow",
        about: "0.1 ms of computing, one worker takes ten times as long, 60% of the cores",
        clients: Clients::Open(10_000.0),
        work: Work::Fixed(0.1 * MS as f64),
        slow: Some(0),
        requests: 40_000,
        ..CHEAP
    },
];
