//! `cargo xtask programs`: drives real servers under llb, as their users would, and says what their clients lost.
//!
//! Each program is started unmodified with four copies. Clients with new connections and clients that keep theirs ask it
//! without a pause while it is reloaded, loses a worker, streams, and is stopped.

mod catalogue;
mod client;
mod clock;
mod fleet;
mod load;
mod page;
mod provide;
mod trials;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use nix::sched::{CloneFlags, unshare};

use catalogue::{Program, catalogue};

/// Drive real servers under llb, and say what their clients lost; needs root
#[derive(Parser)]
struct Args {
    /// Only programs whose name contains one of these
    names: Vec<String>,
    /// Only the ten that continuous integration drives
    #[arg(long)]
    few: bool,
    /// The llb to run
    #[arg(long, default_value = "target/debug/llb")]
    llb: PathBuf,
    /// Write the results there, as a page
    #[arg(long)]
    page: Option<PathBuf>,
    /// Install nothing: leave out what is not there, and fail for it
    #[arg(long)]
    offline: bool,
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
    let llb =
        args.llb.canonicalize().with_context(|| format!("there is no {}; build llb first", args.llb.display()))?;
    let installed = provide::provide(&programs, args.offline)?;
    enter_network()?;
    let mut results = Vec::new();
    for program in &programs {
        let result = trials::of(program, &installed, &llb);
        println!("{}", page::line(program, &result));
        results.push((program, result));
    }
    let failed: Vec<&str> =
        results.iter().filter(|(program, result)| !result.holds(program)).map(|(program, _)| program.name).collect();
    if let Some(path) = &args.page {
        std::fs::write(path, page::page(&results)).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if !failed.is_empty() {
        println!("not as they should be: {}", failed.join(", "));
    }
    println!("{} passed, {} failed", results.len() - failed.len(), failed.len());
    Ok(failed.is_empty())
}

/// A network of our own: nobody else's ports or traffic are in the way. Before there are threads, as each has its own.
fn enter_network() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace; run this as root")?;
    provide::run(std::process::Command::new("ip").args(["link", "set", "lo", "up"]))
}
