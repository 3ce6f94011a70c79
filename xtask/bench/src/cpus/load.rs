//! What the fleets are asked, and how their workers are run.

use crate::peer::Arrangement;
use crate::scenario::Scenario;
use crate::spec::{CLIENTS, Kind, Spec, spec};

/// Memory that a worker walks for a request, KiB: what a core's own cache holds, and must be fetched anew when the worker moves.
const WALKED_KIB: usize = 256;

/// Requests on a connection that is kept.
const KEPT_FOR: usize = 100;

/// How a fleet's workers are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    AsItIs,
    Again,
    Pinned,
    Nice,
    PlainPinned,
    PlainByCpu,
}

impl Way {
    pub(super) fn name(self) -> &'static str {
        match self {
            Way::AsItIs => "llb",
            Way::Again => "llb again",
            Way::Pinned => "llb --cpus auto",
            Way::Nice => "llb --nice 5",
            Way::PlainPinned => "plain, a CPU each",
            Way::PlainByCpu => "plain, a CPU each, SO_INCOMING_CPU",
        }
    }

    pub(super) fn arrangement(self) -> Arrangement {
        match self {
            Way::AsItIs | Way::Again => Arrangement::With(&[]),
            Way::Pinned => Arrangement::With(&["--cpus", "auto"]),
            Way::Nice => Arrangement::With(&["--nice", "5"]),
            Way::PlainPinned => Arrangement::Pinned(&[]),
            Way::PlainByCpu => Arrangement::Pinned(&["--incoming-cpu"]),
        }
    }

    /// What it is compared with.
    pub(super) fn reference(self) -> Way {
        match self {
            // Of each the workers have a CPU.
            Way::PlainPinned | Way::PlainByCpu => Way::Pinned,
            _ => Way::AsItIs,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    Connections,
    OneEach,
    FourEach,
    Neighbour,
}

impl Load {
    pub(super) const ALL: [Load; 4] = [Load::Connections, Load::OneEach, Load::FourEach, Load::Neighbour];

    pub(super) fn name(self) -> &'static str {
        match self {
            Load::Connections => "cheap connections",
            Load::OneEach => "a worker for each CPU",
            Load::FourEach => "four workers for each CPU",
            Load::Neighbour => "a worker for each CPU, and a busy neighbour",
        }
    }

    pub(super) fn about(self, cpus: usize) -> String {
        let (workers, clients) = (self.workers(cpus), self.clients(cpus));
        let walks = format!(
            "{KEPT_FOR} requests on a connection, each of which walks {WALKED_KIB} KiB of the worker's own memory"
        );
        match self {
            Load::Connections => {
                format!("{workers} workers, {clients} clients, a connection for each request, no work.")
            }
            Load::OneEach | Load::FourEach => format!("{workers} workers, {clients} clients, {walks}."),
            Load::Neighbour => format!(
                "{workers} workers, {clients} clients, {walks}, beside a program that computes all the time; the last column \
                 has the CPUs that it got."
            ),
        }
    }

    pub(super) fn ways(self) -> &'static [Way] {
        match self {
            Load::Connections => &[Way::AsItIs, Way::Again, Way::Pinned, Way::PlainPinned, Way::PlainByCpu],
            Load::OneEach | Load::FourEach => &[Way::AsItIs, Way::Again, Way::Pinned],
            Load::Neighbour => &[Way::AsItIs, Way::Again, Way::Pinned, Way::Nice],
        }
    }

    fn workers(self, cpus: usize) -> usize {
        if self == Load::FourEach { 4 * cpus } else { cpus }
    }

    pub(super) fn clients(self, cpus: usize) -> usize {
        if self == Load::Connections { CLIENTS } else { 2 * self.workers(cpus) }
    }

    pub(super) fn requests_each(self) -> usize {
        if self == Load::Connections { 1 } else { KEPT_FOR }
    }

    pub(super) fn has_neighbour(self) -> bool {
        self == Load::Neighbour
    }

    pub(super) fn spec(self, cpus: usize) -> Spec {
        let walks_kib = if self == Load::Connections { 0 } else { WALKED_KIB };
        Spec { kind: Kind::Events, slowness: vec![1.0; self.workers(cpus)], walks_kib, ..spec(Scenario::Cheap, true) }
    }
}
