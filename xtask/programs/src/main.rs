//! `cargo xtask programs`: drives real servers under llb, as their users would, and says what their clients lost.
//!
//! Each program is started unmodified with four copies. Clients with new connections and clients that keep theirs ask it
//! without a pause while it is reloaded, loses a worker, streams, and is stopped.

mod alone;
mod catalogue;
mod client;
mod fleet;
mod load;
mod page;
mod program;
mod provide;
mod results;
mod stage;
mod trials;
mod verdict;
mod version;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Mutex,
    thread,
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use llb_kit::sh;
use nix::sched::{CloneFlags, unshare};

use catalogue::catalogue;
use program::Program;
use provide::Installed;

/// How many programs are driven at the same time: they mostly wait.
const AT_ONCE: usize = 4;

/// Drive real servers under llb, and say what their clients lost; needs root
#[derive(Parser)]
struct Args {
    /// Only programs whose name contains one of these
    names: Vec<String>,
    /// Only the ten that continuous integration drives, and alone only those that lost something; keeps no results
    #[arg(long)]
    few: bool,
    /// The llb to run
    #[arg(long, default_value = "target/debug/llb")]
    llb: PathBuf,
    /// Write the last results of every program there, as a page
    #[arg(long)]
    page: Option<PathBuf>,
    /// Install nothing, and fail if something is missing
    #[arg(long)]
    offline: bool,
    /// Install what they need, and drive none
    #[arg(long, conflicts_with_all = ["offline", "page"])]
    install: bool,
}

impl Args {
    fn wants(&self, program: &Program) -> bool {
        (self.names.is_empty() || self.names.iter().any(|name| program.name.contains(name.as_str())))
            && (!self.few || program.few)
    }
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("programs: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<bool> {
    let programs: Vec<Program> = catalogue().into_iter().filter(|program| args.wants(program)).collect();
    ensure!(!programs.is_empty(), "no program has such a name");
    let installed = provide::provide(&programs, args.offline)?;
    if args.install {
        return Ok(true);
    }
    let llb =
        args.llb.canonicalize().with_context(|| format!("there is no {}; build llb first", args.llb.display()))?;
    let queue = Mutex::new(programs.iter());
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        let drives: Vec<_> =
            (0..AT_ONCE).map(|_| scope.spawn(|| drive(&queue, &failed, &installed, &llb, args.few))).collect();
        drives.into_iter().try_for_each(|drive| drive.join().expect("no panic"))
    })?;
    let failed = failed.into_inner().expect("no panic");
    if let Some(path) = &args.page {
        let page = page::page(&catalogue(), &installed.results)?;
        std::fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("{} passed, {} failed", programs.len() - failed.len(), failed.len());
    for (program, faults) in &failed {
        println!("{program}: {}", faults.join("; "));
    }
    Ok(failed.is_empty())
}

/// Drives one program after another.
fn drive<'a>(
    queue: &Mutex<impl Iterator<Item = &'a Program>>,
    failed: &Mutex<Vec<(&'a str, Vec<String>)>>,
    installed: &Installed,
    llb: &Path,
    few: bool,
) -> Result<()> {
    enter_network()?;
    let next = || queue.lock().expect("no panic").next();
    while let Some(program) = next() {
        let outcome = trials::of(program, installed, llb, few);
        println!("{}", page::line(program, &outcome));
        if !few {
            results::save(&installed.results, program, &outcome)?;
        }
        let faults = verdict::faults(program, &outcome);
        if !faults.is_empty() {
            failed.lock().expect("no panic").push((program.name, faults));
        }
    }
    Ok(())
}

/// A network for this thread and its children: nobody else's ports or traffic are in the way.
fn enter_network() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace; run this as root")?;
    sh::run(std::process::Command::new("ip").args(["link", "set", "lo", "up"]))
}
