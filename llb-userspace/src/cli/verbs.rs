//! The commands that change a running fleet. Each waits until it is over, and its exit code says how it went.

use std::process::ExitCode;

use super::{
    args::{FleetCommand, ReloadArgs, ScaleArgs, SlotArgs},
    exit::Exit,
    output,
};
use crate::{
    control::{Done, Failed, FailureKind, Reply, Request},
    observe::stderr,
};

pub(super) fn reload(args: &ReloadArgs) -> anyhow::Result<ExitCode> {
    let watch_ms = args.watch.map(|watch| u64::try_from(watch.as_millis()).unwrap_or(u64::MAX));
    let &ReloadArgs { rolling, max_surge, canary, .. } = args;
    let request = Request::Reload { rolling, max_surge, canary, watch_ms };
    report(&args.common, args.common.fleet.of().command(request)?)
}

pub(super) fn scale(args: &ScaleArgs) -> anyhow::Result<ExitCode> {
    report(&args.common, args.common.fleet.of().command(Request::Scale { workers: args.workers })?)
}

pub(super) fn drain(args: &SlotArgs) -> anyhow::Result<ExitCode> {
    report(&args.common, args.common.fleet.of().command(Request::Drain { slot: args.slot })?)
}

pub(super) fn restart(args: &SlotArgs) -> anyhow::Result<ExitCode> {
    report(&args.common, args.common.fleet.of().command(Request::Restart { slot: args.slot })?)
}

pub(super) fn stop(args: &FleetCommand) -> anyhow::Result<ExitCode> {
    report(args, args.fleet.of().end()?)
}

fn report(args: &FleetCommand, reply: Reply) -> anyhow::Result<ExitCode> {
    if args.json {
        output::write(&(serde_json::to_string(&reply)? + "\n"))?;
    }
    match reply {
        Reply::Done(done) => {
            if !args.json {
                output::write(&text(&args.fleet.name.to_string(), &done))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Reply::Failed(Failed { error, failure }) => {
            let (how, exit) = match failure {
                Some(FailureKind::Refused) => ("refused", Exit::Refused),
                Some(FailureKind::RolledBack) => ("rolled back", Exit::RolledBack),
                Some(FailureKind::Failed) | None => ("failed", Exit::Failure),
            };
            if !args.json {
                stderr::line(&format!("llb: {how}: {error}"));
            }
            Ok(exit.into())
        }
    }
}

/// What has been done; the fields that are there show which verb it was.
fn text(name: &str, done: &Done) -> String {
    match *done {
        Done { generation: Some(generation), .. } => format!("{name}: generation {generation} serves\n"),
        Done { workers: Some(workers), .. } => format!("{name}: {workers} workers\n"),
        Done { slot: Some(slot), pid: Some(pid), .. } => format!("{name}: slot {slot} is served by pid {pid}\n"),
        Done { slot: Some(slot), .. } => format!("{name}: slot {slot} is drained\n"),
        Done { .. } => format!("{name}: stopped\n"),
    }
}
