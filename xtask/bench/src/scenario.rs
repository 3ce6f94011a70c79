//! What is asked of every peer: the names. [`spec`](super::spec) says what each means.

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scenario {
    /// Equal workers; 2% of the requests are long
    HeavyTail,
    /// The same with more requests: 70% load
    #[value(name = "heavy-tail-70")]
    HeavyTail70,
    /// The same with still more: 85% load
    #[value(name = "heavy-tail-85")]
    HeavyTail85,
    /// With 4 workers and half the requests
    #[value(name = "heavy-tail-4")]
    HeavyTail4,
    /// With 16 workers and twice the requests
    #[value(name = "heavy-tail-16")]
    HeavyTail16,
    /// With 64 workers and eight times the requests
    #[value(name = "heavy-tail-64")]
    HeavyTail64,
    /// The requests of heavy-tail, and one worker ten times slower
    SlowOne,
    /// Workers of four speeds
    Unequal,
    /// One worker is stopped for two seconds
    Stopped,
    /// Event loops in Node, some requests burn the CPU
    Node,
    /// No work at all, as many connections as the machine gives
    Cheap,
    /// No work at all, a hundred requests on each connection
    KeepAlive,
    /// Many connections, cheap requests
    HermesHighCheap,
    /// The same, 50% busy
    #[value(name = "hermes-high-cheap-50")]
    HermesHighCheap50,
    /// Many connections, dear requests
    HermesHighDear,
    /// The same, 75% busy
    #[value(name = "hermes-high-dear-75")]
    HermesHighDear75,
    /// Few long connections, cheap requests
    HermesLowCheap,
    /// The same, 25% busy
    #[value(name = "hermes-low-cheap-25")]
    HermesLowCheap25,
    /// Few long connections, dear requests
    HermesLowDear,
    /// The same, 60% busy
    #[value(name = "hermes-low-dear-60")]
    HermesLowDear60,
}

impl Scenario {
    pub(super) fn name(self) -> &'static str {
        match self {
            Scenario::HeavyTail => "heavy-tail",
            Scenario::HeavyTail70 => "heavy-tail-70",
            Scenario::HeavyTail85 => "heavy-tail-85",
            Scenario::HeavyTail4 => "heavy-tail-4",
            Scenario::HeavyTail16 => "heavy-tail-16",
            Scenario::HeavyTail64 => "heavy-tail-64",
            Scenario::SlowOne => "slow-one",
            Scenario::Unequal => "unequal",
            Scenario::Stopped => "stopped",
            Scenario::Node => "node",
            Scenario::Cheap => "cheap",
            Scenario::KeepAlive => "keep-alive",
            Scenario::HermesHighCheap => "hermes-high-cheap",
            Scenario::HermesHighCheap50 => "hermes-high-cheap-50",
            Scenario::HermesHighDear => "hermes-high-dear",
            Scenario::HermesHighDear75 => "hermes-high-dear-75",
            Scenario::HermesLowCheap => "hermes-low-cheap",
            Scenario::HermesLowCheap25 => "hermes-low-cheap-25",
            Scenario::HermesLowDear => "hermes-low-dear",
            Scenario::HermesLowDear60 => "hermes-low-dear-60",
        }
    }

    pub(super) fn about(self) -> &'static str {
        match self {
            Scenario::HeavyTail => {
                "8 single-threaded blocking workers; 400 new connections a second, open loop, 2% of the requests 200 ms \
                 of work and the others 5 ms: the workers are 45% busy. Latency of the 5 ms ones, ms, from the moment \
                 each was due. The workers of Node's cluster are Node programs that block as long."
            }
            Scenario::HeavyTail70 => "heavy-tail with 630 connections a second: 70% busy.",
            Scenario::HeavyTail85 => "heavy-tail with 765 connections a second: 85% busy.",
            Scenario::HeavyTail4 => "heavy-tail with 4 workers and 200 connections a second.",
            Scenario::HeavyTail16 => "heavy-tail with 16 workers and 800 connections a second.",
            Scenario::HeavyTail64 => "heavy-tail with 64 workers and 3200 connections a second.",
            Scenario::SlowOne => "heavy-tail, and one of the 8 workers takes ten times as long for everything.",
            Scenario::Unequal => {
                "The requests of heavy-tail, 240 a second, and 8 workers that take 1, 1, 1.5, 1.5, 2, 2, 4 and 4 times \
                 as long: 44% of what they can do together."
            }
            Scenario::Stopped => {
                "8 blocking workers, 400 connections a second, every request 5 ms of work. One worker is stopped \
                 (SIGSTOP) for 2 s in the middle. What counts is the part of the requests that wait more than 300 ms; \
                 the one that the stopped worker was at is lost for everybody."
            }
            Scenario::Node => {
                "4 event loops in Node, Node for everybody; 300 connections a second, open loop: 4% of the requests \
                 burn 40 ms of CPU, the others answer after waiting 2 ms as for a database. Latency of those others. \
                 Shared is the shared handle of Node's cluster (SCHED_NONE). A proxy that gives each worker one request at a \
                 time would undo what an event loop is for, so HAProxy has no maxconn here."
            }
            Scenario::Cheap => {
                "8 blocking workers; 32 clients, closed loop, a connection per request, no work. Latency in ms. All \
                 peers are up together and take turns, a quarter of a second each; who is not measured is stopped, so \
                 that it costs nothing."
            }
            Scenario::KeepAlive => {
                "8 event loops; 32 clients, closed loop, 100 requests on each connection, no work. In turns, as in \
                 cheap. Proxies would measure the cost of the hop, which cheap shows, and are left out."
            }
            Scenario::HermesHighCheap => {
                "Hermes' corner of high connection rate and cheap requests: 8 event loops, 4000 connections a second \
                 with one request each, whose work is exponential with a mean of 0.5 ms: 25% busy."
            }
            Scenario::HermesHighCheap50 => "hermes-high-cheap with 8000 connections a second: 50% busy.",
            Scenario::HermesHighDear => {
                "High connection rate and dear requests: 500 connections a second with one request each, mean work \
                 8 ms: 50% busy. 2 cores cannot make both as high as the paper's machines do."
            }
            Scenario::HermesHighDear75 => "hermes-high-dear with 750 connections a second: 75% busy.",
            Scenario::HermesLowCheap => {
                "Low connection rate and cheap requests: 40 connections a second, each with 50 requests that are due \
                 20 ms apart in the mean, mean work 0.5 ms: 13% busy."
            }
            Scenario::HermesLowCheap25 => "hermes-low-cheap with 80 connections a second: 25% busy.",
            Scenario::HermesLowDear => {
                "Low connection rate and dear requests: 8 connections a second, each with 50 requests that are due \
                 20 ms apart in the mean, mean work 8 ms: 40% busy. A connection stays where it was placed, so its \
                 later requests meet whoever came after it."
            }
            Scenario::HermesLowDear60 => "hermes-low-dear with 12 connections a second: 60% busy.",
        }
    }
}
