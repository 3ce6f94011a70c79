//! `llb run`.

use std::{process::ExitCode, thread::available_parallelism};

use anyhow::Context;
use nix::unistd::geteuid;

use super::args::RunArgs;
use crate::{config::Config, engine, observe::log};

/// Older kernels lack what the programs call: reading the listener in `sk_reuseport` (5.14), atomics that return
/// (5.12). This is the oldest that llb is tried on.
const OLDEST_KERNEL: (u32, u32) = (6, 1);

/// The machine lacks something that llb cannot do without.
#[derive(Debug, thiserror::Error)]
pub(super) enum MachineError {
    #[error("llb loads programs into the kernel and needs root for it: run it with sudo; `sudo llb doctor` tells more")]
    NotRoot,
    #[error(
        "this kernel is {release}; llb needs Linux {}.{} or newer; `llb doctor` tells more",
        OLDEST_KERNEL.0, OLDEST_KERNEL.1
    )]
    OldKernel { release: String },
}

pub(super) fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    log::start(&args.log).with_context(|| format!("cannot read --log {}", args.log))?;
    check_machine()?;
    let mut command = args.command.into_iter();
    let program = command.next().context("no command given")?;
    let cores = available_parallelism().context("cannot tell the number of cores; give -n")?;
    engine::run(Config {
        name: args.fleet.name,
        program,
        args: command.collect(),
        workers: args.workers.unwrap_or(u32::try_from(cores.get())?),
        policy: args.policy.into(),
        limits: args.ports,
        ready_when: args.ready_when.into(),
        ready_timeout: args.ready_timeout,
        drain_timeout: args.drain_timeout,
        respawn: args.respawn,
        backoff: args.backoff,
        runtime_dir: args.fleet.runtime_dir,
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What would otherwise fail later, and less clearly.
pub(super) fn check_machine() -> Result<(), MachineError> {
    if !geteuid().is_root() {
        return Err(MachineError::NotRoot);
    }
    let release = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
    check_kernel(release.unwrap_or_default())
}

fn check_kernel(release: String) -> Result<(), MachineError> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) < OLDEST_KERNEL => {
            Err(MachineError::OldKernel { release })
        }
        // A release that cannot be read is tried.
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::check_kernel;

    #[test]
    fn an_old_kernel_is_named() {
        let error = check_kernel("5.10.0-28-amd64".into()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "this kernel is 5.10.0-28-amd64; llb needs Linux 6.1 or newer; `llb doctor` tells more"
        );
        for release in ["6.1.0-50-cloud-amd64", "6.18.44", "10.0", "strange"] {
            assert!(check_kernel(release.into()).is_ok(), "{release}");
        }
    }
}
