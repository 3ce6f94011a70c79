//! `llb demo`: the same load twice, with real workers and the real engine.

use std::{
    cell::Cell,
    io::{self, IsTerminal},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::ExitCode,
    rc::Rc,
};

use anyhow::Context;
use llb::{balancer::Policy, config::Config, model::Slot};

use super::{Plan, Summary, picture, worker};
use crate::during::{self, during};

/// Of a terminal that does not say.
const USUAL_WIDTH: usize = 80;

pub(crate) fn run(seed: u64) -> anyhow::Result<ExitCode> {
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
pub(crate) fn work(port: u16, slot: u32, slow_slot: u32) -> anyhow::Result<ExitCode> {
    match worker::serve(port, Slot(slot), slot == slow_slot)? {}
}

fn measure(plan: &Plan, policy: Policy) -> anyhow::Result<Summary> {
    let port = free_port()?;
    let args =
        ["demo-worker", "--port", &port.to_string(), "--slow-slot", &plan.slow_slot.to_string()].map(str::to_owned);
    let mut config = Config::new(std::env::current_exe()?, args);
    config.workers = plan.workers;
    config.policy = policy;
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    during(during::config("demo", config)?, Rc::new(Cell::new(policy)), async |_| Ok(super::drive(plan, addr).await?))
}

/// A port that was free a moment ago.
fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

fn width() -> usize {
    std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(USUAL_WIDTH)
}
