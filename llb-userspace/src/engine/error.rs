//! Why a fleet could not run.

use std::{io, process::ExitStatus, time::Duration};

use crate::{
    agent::AgentError,
    control::ServerError,
    fleet::{CgroupError, LockError, SpawnError},
    kernel::KernelError,
    metrics::MetricsError,
    model::Slot,
};

/// Why a fleet could not run, or ended unasked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The name is taken, or the runtime directory cannot be used.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The workers' cgroups could not be made.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// The kernel refused a program or a map.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The control socket could not be opened.
    #[error(transparent)]
    Control(#[from] ServerError),
    /// Metrics cannot be served where they are to be.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// Agent checks cannot be answered where they are to be.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// A worker could not be started at all.
    #[error("cannot start worker {slot}")]
    Spawn {
        /// Its slot.
        slot: Slot,
        /// Why.
        #[source]
        source: SpawnError,
    },
    /// Workers exit before they are ready.
    #[error("worker {slot} {} before it was ready{}{}", describe(*status), reason_clause(reason.as_ref()), quoted(tail))]
    Exited {
        /// Its slot.
        slot: Slot,
        /// How it ended.
        status: Option<ExitStatus>,
        /// What llb makes of it.
        reason: Option<String>,
        /// The end of what it wrote.
        tail: Vec<String>,
    },
    /// A worker does not become ready.
    #[error(
        "worker {slot} has not become ready within {}: {doing}; {advice}",
        humantime::format_duration(*timeout)
    )]
    NotReady {
        /// Its slot.
        slot: Slot,
        /// How long it had.
        timeout: Duration,
        /// What it does instead.
        doing: String,
        /// What may help.
        advice: String,
    },
    /// The event loop failed.
    #[error("cannot {attempt}")]
    Loop {
        /// What was tried.
        attempt: &'static str,
        /// The system's word.
        #[source]
        source: io::Error,
    },
}

/// "exited with code 1", "was killed by signal 9"; "ended" if nobody knows how.
#[must_use]
pub(crate) fn describe(status: Option<ExitStatus>) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.and_then(|status| status.code()), status.and_then(|status| status.signal())) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => match nix::sys::signal::Signal::try_from(signal) {
            Ok(name) => format!("was killed by {name}"),
            Err(_) => format!("was killed by signal {signal}"),
        },
        (None, None) => "ended".into(),
    }
}

fn reason_clause(reason: Option<&String>) -> String {
    reason.map_or(String::new(), |reason| format!(": {reason}"))
}

fn quoted(tail: &[String]) -> String {
    if tail.is_empty() {
        return "; it wrote nothing".into();
    }
    let lines: String = tail.iter().map(|line| format!("\n  | {line}")).collect();
    format!("; its last lines:{lines}")
}
