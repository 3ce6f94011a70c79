//! Options that are one of a few words.

use clap::ValueEnum;
use llb_common::policy::Policy;

use crate::{
    config::{OnMasterExit, ReadyWhen, StopWhom, Tracking},
    observe::log::LogFormat,
};

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum PolicyArg {
    /// The one expected to answer soonest, each choice charged at once
    LeastLatency,
    /// The one with the fewest requests in flight, each choice charged at once; costs do not count
    LeastInflight,
    /// The published least-latency worker alone; to compare
    Argmin,
    /// Each in turn
    RoundRobin,
    /// The kernel's own hash: plain SO_REUSEPORT
    Hash,
}

impl From<PolicyArg> for Policy {
    fn from(arg: PolicyArg) -> Self {
        match arg {
            PolicyArg::LeastLatency => Policy::LeastLatency,
            PolicyArg::LeastInflight => Policy::LeastInflight,
            PolicyArg::Argmin => Policy::Argmin,
            PolicyArg::RoundRobin => Policy::RoundRobin,
            PolicyArg::Hash => Policy::Hash,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum TrackingArg {
    /// What the kernel sees of every connection, and what workers report
    Full,
    /// What workers report; the kernel looks at no packets
    Reports,
    /// Neither
    Off,
}

impl From<TrackingArg> for Tracking {
    fn from(arg: TrackingArg) -> Self {
        match arg {
            TrackingArg::Full => Tracking::Full,
            TrackingArg::Reports => Tracking::Reports,
            TrackingArg::Off => Tracking::Off,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum LogFormatArg {
    /// Lines to read
    Human,
    /// One JSON object a line, the fleet's events too; see docs/events.md
    Json,
}

impl From<LogFormatArg> for LogFormat {
    fn from(arg: LogFormatArg) -> Self {
        match arg {
            LogFormatArg::Human => LogFormat::Human,
            LogFormatArg::Json => LogFormat::Json,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum ReadyWhenArg {
    /// It listens on steered ports and waits for connections there
    Accepting,
    /// It listens on a steered port
    Listening,
    /// It listens and has said so, by {"cmd":"ready"} or READY=1
    Ready,
    /// It has been started; it is chosen as soon as it listens
    Started,
}

impl From<ReadyWhenArg> for ReadyWhen {
    fn from(arg: ReadyWhenArg) -> Self {
        match arg {
            ReadyWhenArg::Accepting => ReadyWhen::Accepting,
            ReadyWhenArg::Listening => ReadyWhen::Listening,
            ReadyWhenArg::Ready => ReadyWhen::Ready,
            ReadyWhenArg::Started => ReadyWhen::Started,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum StopWhomArg {
    /// Its first process; the others when that has exited
    First,
    /// All of its processes at once
    All,
}

impl From<StopWhomArg> for StopWhom {
    fn from(arg: StopWhomArg) -> Self {
        match arg {
            StopWhomArg::First => StopWhom::First,
            StopWhomArg::All => StopWhom::All,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum OnMasterExitArg {
    /// They serve on, and the next llb of the name takes them over
    Keep,
    /// They end with it
    Stop,
}

impl From<OnMasterExitArg> for OnMasterExit {
    fn from(arg: OnMasterExitArg) -> Self {
        match arg {
            OnMasterExitArg::Keep => OnMasterExit::Keep,
            OnMasterExitArg::Stop => OnMasterExit::Stop,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum RescueArg {
    /// They are, if another is clearly better off
    On,
    /// They wait
    Off,
}

impl From<RescueArg> for bool {
    fn from(arg: RescueArg) -> Self {
        matches!(arg, RescueArg::On)
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum QuicLbArg {
    /// A client that changes its address or port keeps its worker
    On,
    /// A flow is known by addresses and ports only
    Off,
}

impl From<QuicLbArg> for bool {
    fn from(arg: QuicLbArg) -> Self {
        matches!(arg, QuicLbArg::On)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum StickyArg {
    /// Each connection is chosen for
    Off,
    /// All connections of a source address go to one slot
    Source,
}
