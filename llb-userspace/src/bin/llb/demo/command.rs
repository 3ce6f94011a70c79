//! `llb demo`: the same load twice, with real workers and the real engine.

use std::{
    io::{self, IsTerminal},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, anyhow};
use llb::{
    common::policy::Policy,
    config::{Config, OnMasterExit},
    engine::{self, Up},
    model::Slot,
};
use tokio::{
    signal::{
        ctrl_c,
        unix::{SignalKind, signal},
    },
    sync::oneshot,
    task::LocalSet,
};

use super::{Plan, Summary, picture, worker};

/// Of a terminal that does not say.
const USUAL_WIDTH: usize = 80;

pub(super) fn run(seed: u64) -> anyhow::Result<ExitCode> {
    let plan = Plan { seed, ..Plan::default() };
    eprintln!(
        "The same load twice, {} s each: {} workers, number {} is slow ...",
        plan.duration.as_secs(),
        plan.workers,
        plan.slow_slot
    );
    let hash = measure(&plan, Policy::Hash).context("with the kernel's hash")?;
    let llb = measure(&plan, Policy::LeastLatency).context("with llb")?;
    let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    print!("{}", picture::render(&plan, &hash, &llb, width(), colour));
    Ok(ExitCode::SUCCESS)
}

/// One of the demo's workers.
pub(super) fn work(port: u16, slot: u32, slow_slot: u32) -> anyhow::Result<ExitCode> {
    match worker::serve(port, Slot(slot), slot == slow_slot)? {}
}

fn measure(plan: &Plan, policy: Policy) -> anyhow::Result<Summary> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // A directory of its own: a demo disturbs no fleet, and not another demo.
    let directory = std::env::temp_dir().join(format!("llb-demo-{}", std::process::id()));
    let port = free_port()?;
    let args =
        ["demo-worker", "--port", &port.to_string(), "--slow-slot", &plan.slow_slot.to_string()].map(str::to_owned);
    let mut config = Config::new(std::env::current_exe()?, args);
    config.name = format!("demo-{}", std::process::id()).parse()?;
    config.workers = plan.workers;
    config.policy = policy;
    config.ready_timeout = Duration::from_secs(10);
    config.drain_timeout = Duration::from_secs(1);
    config.on_master_exit = OnMasterExit::Stop;
    config.runtime_dir.clone_from(&directory);
    let result = LocalSet::new().block_on(&runtime, async {
        let (up, is_up) = oneshot::channel();
        // The load may have given up already.
        let announce = move |_: &Up| {
            let _ = up.send(());
        };
        let (measured, stop) = oneshot::channel::<()>();
        let fleet = engine::run_in(config, announce, async {
            // Dropped or sent, it is the end.
            let _ = stop.await;
        });
        let load = async {
            is_up.await.context("the workers did not come up")?;
            Ok(super::drive(plan, SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?)
        };
        let load = async {
            let summary = tokio::select! {
                summary = load => summary,
                signal = interrupt() => Err(signal.err().map_or_else(|| anyhow!("interrupted"), Into::into)),
            };
            drop(measured);
            summary
        };
        let (fleet, summary) = tokio::join!(fleet, load);
        fleet?;
        summary
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

/// A port that was free a moment ago.
fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

fn width() -> usize {
    std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(USUAL_WIDTH)
}
