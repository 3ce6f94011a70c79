//! `llb run`.

use std::{process::ExitCode, thread::available_parallelism};

use anyhow::Context;

use super::args::RunArgs;
use crate::{
    config::{Config, Hanging},
    doctor::{check_identity, check_machine},
    engine,
    fleet::Identity,
    observe::log,
};

pub(super) fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    log::start(&args.log)?;
    let config = config(args)?;
    check_machine()?;
    check_identity(config.identity.as_ref())?;
    engine::run(config)?;
    Ok(ExitCode::SUCCESS)
}

/// The command line, and the file behind it, gave no command.
#[derive(Debug, thiserror::Error)]
#[error("no command: give it after `--`, or as `command = [...]` in the configuration file")]
pub(super) struct NoCommand;

/// What the arguments ask for.
pub(super) fn config(args: RunArgs) -> anyhow::Result<Config> {
    let identity = Identity::find(args.user.as_deref(), args.group.as_deref())?;
    let mut command = args.command.into_iter();
    let program = command.next().ok_or(NoCommand)?;
    let cores = available_parallelism().context("cannot tell the number of cores; give -n")?;
    Ok(Config {
        name: args.fleet.name,
        program,
        args: command.collect(),
        identity,
        workers: args.workers.unwrap_or(u32::try_from(cores.get())?),
        policy: args.policy.into(),
        tracking: args.tracking.into(),
        limits: args.ports,
        own_ports: args.own_ports,
        ready_when: args.ready_when.into(),
        ready_timeout: args.ready_timeout,
        drain_timeout: args.drain_timeout,
        respawn: args.respawn,
        backoff: args.backoff,
        hanging: Hanging { rescue: args.rescue.into(), timeout: args.hang_timeout },
        on_master_exit: args.on_master_exit.into(),
        guard: None,
        runtime_dir: args.fleet.runtime_dir,
    })
}
