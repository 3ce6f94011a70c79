//! The ways to put several workers behind one port.

use super::spec::Kind;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    Plain,
    PlainAgain,
    Hooked,
    Shared,
    LeastLatency,
    LeastInflight,
    Line,
    NoLine,
    Argmin,
    RoundRobin,
    Hash,
    Haproxy,
    HaproxyOne,
    Nginx,
    NodeRr,
    NodeNone,
}

/// What stands where for a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrangement {
    /// Every worker has a listener of its own on the port, and the kernel's hash chooses.
    OwnListeners,
    /// The same, and an empty program on each of the kernel's hooks that llb uses: no tool on these hooks can cost less.
    Hooked,
    /// One listener, which every worker inherits.
    OneListener,
    /// llb with this policy.
    Steered(&'static str),
    /// llb with the default policy and these options.
    With(&'static [&'static str]),
    /// As with listeners of their own, and a CPU for each worker; with these options of a worker of ours.
    Pinned(&'static [&'static str]),
    /// Every worker has a port of its own behind this program.
    Proxied(Proxy),
    /// Node's cluster: `rr` or `none`.
    Cluster(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proxy {
    /// With `one_each` every worker gets one request at a time.
    Haproxy {
        one_each: bool,
    },
    Nginx,
}

impl Peer {
    pub(super) const ALL: [Peer; 16] = [
        Peer::Plain,
        Peer::PlainAgain,
        Peer::Hooked,
        Peer::Shared,
        Peer::LeastLatency,
        Peer::LeastInflight,
        Peer::Line,
        Peer::NoLine,
        Peer::Argmin,
        Peer::RoundRobin,
        Peer::Hash,
        Peer::Haproxy,
        Peer::HaproxyOne,
        Peer::Nginx,
        Peer::NodeRr,
        Peer::NodeNone,
    ];

    /// They take part in every scenario.
    pub(super) const ALWAYS: [Peer; 4] = [Peer::Plain, Peer::Shared, Peer::LeastLatency, Peer::LeastInflight];

    pub(super) fn name(self) -> &'static str {
        match self {
            Peer::Plain => "plain SO_REUSEPORT",
            Peer::PlainAgain => "plain SO_REUSEPORT again",
            Peer::Hooked => "plain, empty programs hooked",
            Peer::Shared => "one shared accept queue",
            Peer::LeastLatency => "llb least-latency",
            Peer::LeastInflight => "llb least-inflight",
            Peer::Line => "llb least-latency, concurrency 1",
            Peer::NoLine => "llb least-latency, concurrency off",
            Peer::Argmin => "llb argmin",
            Peer::RoundRobin => "llb round-robin",
            Peer::Hash => "llb hash",
            Peer::Haproxy => "HAProxy leastconn",
            Peer::HaproxyOne => "HAProxy leastconn, maxconn 1",
            Peer::Nginx => "nginx least_conn",
            Peer::NodeRr => "Node cluster, SCHED_RR",
            Peer::NodeNone => "Node cluster, SCHED_NONE",
        }
    }

    /// `node_shares`: whether this machine's Node can set SO_REUSEPORT itself.
    pub(super) fn arrangement(self, kind: Kind, node_shares: bool) -> Arrangement {
        match (self, kind) {
            // llb's hash is the kernel's, with SO_REUSEPORT set for a Node that cannot.
            (Peer::Plain | Peer::PlainAgain, Kind::Node) if !node_shares => Arrangement::Steered("hash"),
            (Peer::Plain | Peer::PlainAgain, _) => Arrangement::OwnListeners,
            (Peer::Hooked, _) => Arrangement::Hooked,
            (Peer::Shared, Kind::Node) | (Peer::NodeNone, _) => Arrangement::Cluster("none"),
            (Peer::Shared, _) => Arrangement::OneListener,
            (Peer::NodeRr, _) => Arrangement::Cluster("rr"),
            (Peer::LeastLatency, _) => Arrangement::Steered("least-latency"),
            (Peer::LeastInflight, _) => Arrangement::Steered("least-inflight"),
            (Peer::Line, _) => Arrangement::With(&["--concurrency", "1"]),
            (Peer::NoLine, _) => Arrangement::With(&["--concurrency", "off"]),
            (Peer::Argmin, _) => Arrangement::Steered("argmin"),
            (Peer::RoundRobin, _) => Arrangement::Steered("round-robin"),
            (Peer::Hash, _) => Arrangement::Steered("hash"),
            (Peer::Haproxy, _) => Arrangement::Proxied(Proxy::Haproxy { one_each: false }),
            (Peer::HaproxyOne, _) => Arrangement::Proxied(Proxy::Haproxy { one_each: true }),
            (Peer::Nginx, _) => Arrangement::Proxied(Proxy::Nginx),
        }
    }

    pub(super) fn is_ours(self) -> bool {
        matches!(
            self,
            Peer::LeastLatency
                | Peer::LeastInflight
                | Peer::Line
                | Peer::NoLine
                | Peer::Argmin
                | Peer::RoundRobin
                | Peer::Hash
        )
    }

    /// The program that it needs for workers of this kind, if that is not ours.
    pub(super) fn program(self, kind: Kind) -> Option<&'static str> {
        match self {
            Peer::Haproxy | Peer::HaproxyOne => Some("haproxy"),
            Peer::Nginx => Some("nginx"),
            Peer::NodeRr | Peer::NodeNone => Some("node"),
            _ if kind == Kind::Node => Some("node"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_cannot_share_a_port_is_shared_by_llb() {
        assert_eq!(Peer::Plain.arrangement(Kind::Node, false), Arrangement::Steered("hash"));
        assert_eq!(Peer::Plain.arrangement(Kind::Node, true), Arrangement::OwnListeners);
        assert_eq!(Peer::Plain.arrangement(Kind::Blocking, false), Arrangement::OwnListeners);
    }

    #[test]
    fn all_are_listed_once() {
        assert!(Peer::ALL.iter().enumerate().all(|(at, peer)| *peer as usize == at));
    }
}
