//! Runs a fleet inside this process for as long as something is done with it.

use std::{cell::Cell, io, path::PathBuf, rc::Rc, time::Duration};

use anyhow::{Context, anyhow};
use llb::{
    Up,
    balancer::Policy,
    config::{Config, OnMasterExit},
    internals::run_by,
};
use tokio::{
    runtime::Builder,
    signal::{
        ctrl_c,
        unix::{SignalKind, signal},
    },
    sync::oneshot,
    task::LocalSet,
};

/// A fleet that disturbs no other, with a name and a directory of its own; `what` is what it is there for.
pub(crate) fn config(what: &str, mut config: Config) -> anyhow::Result<(Config, PathBuf)> {
    let name = format!("{what}-{}", std::process::id());
    let directory = std::env::temp_dir().join(format!("llb-{name}"));
    config.name = name.parse()?;
    config.ready_timeout = config.ready_timeout.min(READY_WITHIN);
    config.drain_timeout = DRAIN_WITHIN;
    config.on_master_exit = OnMasterExit::Stop;
    config.runtime_dir.clone_from(&directory);
    Ok((config, directory))
}

/// Who looks on waits no longer.
const READY_WITHIN: Duration = Duration::from_secs(10);
const DRAIN_WITHIN: Duration = Duration::from_secs(1);

/// Runs the fleet until `load` is done; that begins when every slot is ready, and ends the fleet. The policy is the one that
/// `policy` holds at any time.
pub(crate) fn during<T>(
    (config, directory): (Config, PathBuf),
    policy: Rc<Cell<Policy>>,
    load: impl AsyncFnOnce(Up) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let result = LocalSet::new().block_on(&runtime, async {
        let (up, is_up) = oneshot::channel();
        // The load may have given up already.
        let announce = move |fleet: &Up| drop(up.send(fleet.clone()));
        let (measured, stop) = oneshot::channel::<()>();
        let fleet = run_by(config, policy, announce, async {
            // Dropped or sent, it is the end.
            let _ = stop.await;
        });
        let load = async {
            let up = is_up.await.context("the workers did not come up")?;
            load(up).await
        };
        let load = async {
            let done = tokio::select! {
                done = load => done,
                signal = interrupt() => Err(signal.err().map_or_else(|| anyhow!("interrupted"), Into::into)),
            };
            drop(measured);
            done
        };
        let (fleet, done) = tokio::join!(fleet, load);
        fleet?;
        done
    });
    // The fleet has emptied it.
    let _ = std::fs::remove_dir(directory);
    result
}

/// Until somebody has had enough of it.
async fn interrupt() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        told = ctrl_c() => told,
        _ = terminate.recv() => Ok(()),
    }
}
