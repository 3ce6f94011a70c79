//! `llb guard`: what a master starts so that its workers do not outlive it.

use std::{io::stdin, process::ExitCode};

use nix::unistd::Pid;

use super::args::GuardArgs;
use crate::{engine::guard, observe::stderr};

pub(super) fn run(args: &GuardArgs) -> anyhow::Result<ExitCode> {
    let master = Pid::from_raw(args.master);
    let ended = guard::watch(
        master,
        stdin(),
        &args.fleet.name,
        &args.fleet.runtime_dir,
        (args.drain_timeout, args.stop_signal),
    )?;
    if ended > 0 {
        stderr::line(&format!("llb: the master of {} has died; ended its workers, {ended} processes", args.fleet.name));
    }
    Ok(ExitCode::SUCCESS)
}
