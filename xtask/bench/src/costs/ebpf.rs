//! What each of the kernel's programs costs a run.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aya::programs::loaded_programs;
use aya::sys::{Stats, enable_stats};
use nix::unistd::Pid;

use super::overhead::Empty;
use super::runs::{Runs, Shown, net_ns};
use crate::closed_loop;
use crate::fleet::{Bench, Fleet};
use crate::spec::CLIENTS;
use crate::udp::{self, Echo};
use llb_kit::quantiles::median;

/// Load that is not counted: every worker has joined, and the caches are warm.
const WARM_UP: Duration = Duration::from_secs(1);

/// The mean of each second counts, and of those the median: one in which this machine was busy elsewhere does not.
const SLICES: u32 = 5;
const SLICE: Duration = Duration::from_secs(1);

/// One fleet's programs.
#[derive(Clone, Debug)]
pub(super) struct Costs {
    pub(super) policy: &'static str,
    pub(super) tracking: &'static str,
    pub(super) seats: usize,
    pub(super) per_second: f64,
    /// What the statistics say of an empty program in the same seconds, ns a run.
    pub(super) empty_ns: f64,
    pub(super) programs: Vec<Program>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Program {
    pub(super) name: String,
    /// Time a run by the statistics, and without their own.
    pub(super) mean_ns: f64,
    pub(super) net_ns: f64,
    pub(super) runs_per_connection: f64,
}

pub(super) fn measure(bench: &Bench, policy: &'static str, tracking: &'static str, seats: usize) -> Result<Costs> {
    let fleet = Fleet::steered(bench, policy, tracking, seats)?;
    let load = |duration| Ok(closed_loop::run(fleet.addr, CLIENTS, 1, duration)?.latencies.len());
    under(policy, tracking, seats, fleet.first(), load)
}

/// The same of datagrams of flows that are known. What is a connection elsewhere is an answer here.
pub(super) fn measure_datagrams(bench: &Bench) -> Result<Costs> {
    let fleet = Echo::start(bench, udp::Peer::Llb)?;
    under("known flows", "full", udp::WORKERS, fleet.llb(), |duration| fleet.exchange(duration))
}

/// What it costs while a load of this duration runs, which says how many answers there were.
fn under(
    policy: &'static str,
    tracking: &'static str,
    seats: usize,
    llb: Option<Pid>,
    load: impl Fn(Duration) -> Result<usize> + Sync,
) -> Result<Costs> {
    let held = held_by(llb.context("the fleet has no process")?)?;
    let empty = Empty::new()?;
    load(WARM_UP)?;
    // They end when this is closed, also by our own end.
    let statistics = enable_stats(Stats::RunTime)?;
    let (answers, slices) = thread::scope(|scope| {
        let load = scope.spawn(|| load(SLICE * SLICES));
        let beside = scope.spawn(|| empty.load(SLICE * SLICES));
        let slices: Vec<Slice> = (0..SLICES).map(|_| Slice::take(&held, &empty)).collect::<Result<_>>()?;
        beside.join().expect("the load does not panic")?;
        anyhow::Ok((load.join().expect("the load does not panic")?, slices))
    })?;
    drop(statistics);
    if answers == 0 {
        bail!("nobody answers");
    }
    let answers = answers as f64;
    let median_of = |of: &dyn Fn(&Slice) -> Option<f64>| median(slices.iter().filter_map(of).collect());
    let program = |(index, held): (usize, &Held)| Program {
        name: held.name.clone(),
        mean_ns: median_of(&|slice| slice.runs[index].mean_ns()),
        net_ns: median_of(&|slice| Some(net_ns(slice.runs[index].mean_ns()?, slice.empty.mean_ns()?))),
        runs_per_connection: slices.iter().map(|slice| slice.runs[index].count).sum::<u64>() as f64 / answers,
    };
    let programs = held.iter().enumerate().map(program).filter(|program| program.runs_per_connection > 0.0).collect();
    let per_second = answers / (SLICE * SLICES).as_secs_f64();
    Ok(Costs { policy, tracking, seats, per_second, empty_ns: median_of(&|slice| slice.empty.mean_ns()), programs })
}

/// Runs within one second.
struct Slice {
    /// Of each program, in the order in which they are held.
    runs: Vec<Runs>,
    empty: Runs,
}

impl Slice {
    fn take(held: &[Held], empty: &Empty) -> Result<Self> {
        let look = || anyhow::Ok((held.iter().map(Held::runs).collect::<Result<Vec<_>>>()?, empty.runs()?));
        let (before, empty_before) = look()?;
        thread::sleep(SLICE);
        let (after, empty_after) = look()?;
        let runs = after.iter().zip(before).map(|(after, before)| after.since(before)).collect();
        Ok(Self { runs, empty: empty_after.since(empty_before) })
    }
}

/// A program that a process holds open.
struct Held {
    name: String,
    fdinfo: PathBuf,
}

impl Held {
    fn runs(&self) -> Result<Runs> {
        let text = fs::read_to_string(&self.fdinfo).context("llb has ended")?;
        Ok(Shown::read(&text).with_context(|| format!("llb no longer holds {}", self.name))?.runs)
    }
}

/// The programs of this very llb: others of these names may be at work on the machine.
fn held_by(pid: Pid) -> Result<Vec<Held>> {
    let mut held = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo")).context("llb has ended")? {
        let fdinfo = entry?.path();
        // One that has been closed meanwhile is no program's either.
        let Some(Shown { id, .. }) = fs::read_to_string(&fdinfo).ok().as_deref().and_then(Shown::read) else {
            continue;
        };
        // One that cannot be looked at, as it has just gone, is not llb's, which runs.
        let info = loaded_programs().flatten().find(|info| info.id() == id);
        let name =
            info.as_ref().and_then(|info| info.name_as_str()).with_context(|| format!("program {id} has no name"))?;
        held.push(Held { name: name.to_owned(), fdinfo });
    }
    if held.is_empty() {
        bail!("llb holds no program");
    }
    held.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(held)
}
