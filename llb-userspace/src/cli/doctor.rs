//! `llb doctor`.

use std::process::ExitCode;

use anyhow::Context;
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
};

use super::{
    args::{DoctorArgs, DoctorWorkerArgs},
    exit::Exit,
};
use crate::{
    doctor::{self, Wanted},
    observe::log::{self, LogFormat},
};

pub(super) fn run(args: DoctorArgs) -> anyhow::Result<ExitCode> {
    log::start(&args.log, LogFormat::Human)?;
    let wanted = Wanted {
        name: Wanted::own_name()?,
        runtime_dir: args.runtime_dir,
        // Not by its path: that leads elsewhere when the binary has been replaced.
        worker: vec!["/proc/self/exe".into(), "doctor-worker".into()],
    };
    let report = runtime()?.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        // A signal drops the examination, and with it all that it has made.
        tokio::select! {
            report = doctor::examine(&wanted) => Ok(report),
            _ = interrupt.recv() => anyhow::bail!("interrupted"),
            _ = terminate.recv() => anyhow::bail!("terminated"),
            _ = hangup.recv() => anyhow::bail!("the terminal is gone"),
        }
    })?;
    if args.json {
        println!("{}", serde_json::to_string(&report.json())?);
    } else {
        print!("{}", report.text());
    }
    Ok(if report.is_ok() { ExitCode::SUCCESS } else { Exit::Machine.into() })
}

/// One of the doctor's workers.
pub(super) fn worker(args: &DoctorWorkerArgs) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(doctor::worker::serve(args.port, args.slot, !args.idle))?;
    Ok(ExitCode::SUCCESS)
}

fn runtime() -> anyhow::Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("cannot start the event loop")
}
