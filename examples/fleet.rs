//! What `llb run` and `llb events` do, in a program of your own: it runs a fleet, prints what happens in it, and scales it down
//! to one worker at each line on its standard input that says so.
//!
//!     cargo build --example fleet && sudo target/debug/examples/fleet examples/llb.toml
//!
//! A second argument is the binary `llb`, which `on-master-exit = "stop"` takes.

use std::{env, error::Error, io::stdin, path::Path, process::ExitCode, thread};

use llb::{
    config::{Config, FileError},
    control::{ControlError, Fleet, Request, Told},
    engine::{RunError, Up, run_in},
};
use tokio::{runtime::Builder, signal::ctrl_c, task::LocalSet};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fleet: {error}");
            let mut source = error.source();
            while let Some(why) = source {
                eprintln!("  {why}");
                source = why.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let path = env::args().nth(1).ok_or("usage: fleet FILE [LLB]")?;
    let config: Config = Config::read(Path::new(&path)).inspect_err(|error| {
        if let FileError::Wrong { line, .. } = error {
            eprintln!("fleet: see line {line} of {path}");
        }
    })?;
    let config = Config { guard: env::args_os().nth(2).map(Into::into), ..config };
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let ended = LocalSet::new().block_on(&runtime, run_in(config, serves, async { drop(ctrl_c().await) }));
    match ended {
        Err(RunError::NotReady { slot, doing, .. }) => Err(format!("worker {slot} does not listen: {doing}").into()),
        ended => Ok(ended?),
    }
}

/// Every slot has a worker that is ready.
fn serves(up: &Up) {
    let addresses: Vec<String> = up.addresses.iter().map(ToString::to_string).collect();
    println!("serving {}", addresses.join(", "));
    let (name, runtime_dir) = (up.config.name.to_string(), up.config.runtime_dir.clone());
    thread::spawn(move || {
        let fleet = Fleet { runtime_dir: &runtime_dir, name: &name };
        thread::scope(|threads| {
            threads.spawn(|| follow(fleet).unwrap_or_else(|error| eprintln!("fleet: {error}")));
            for _line in stdin().lines().map_while(Result::ok).filter(|line| line == "one") {
                let outcome = fleet.command(Request::Scale { workers: 1 });
                println!("{outcome:?}");
            }
        });
    });
}

/// Until the fleet ends.
fn follow(fleet: Fleet<'_>) -> Result<(), ControlError> {
    for told in fleet.events(true)? {
        if let Told::Event(event) = told? {
            println!("{} {:?}: {}", event.event, event.slot, event.cause);
        }
    }
    Ok(())
}
