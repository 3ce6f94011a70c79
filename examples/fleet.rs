//! What `llb run` and `llb events` do, in a program of your own: it runs a fleet, prints what happens in it, and scales it down
//! to one worker at each line on its standard input that says so. It ends with the fleet, or at Ctrl-C.
//!
//!     cargo build --example fleet && sudo target/debug/examples/fleet examples/llb.toml
//!
//! A second argument is the binary `llb`, which `on-master-exit = "stop"` takes.

use std::{
    env,
    error::Error,
    io::{self, stdin},
    path::Path,
    process::ExitCode,
    thread,
};

use llb::{
    FleetBuilder, RunError,
    config::{Config, FileError},
    control::{Client, ControlError, Told},
};
use tokio::{runtime::Builder, signal::ctrl_c};

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
    let guard = env::args_os().nth(2).map(Into::into);
    let fleet = match FleetBuilder::from(config).with(|config| config.guard = guard).spawn() {
        Err(RunError::NotReady { slot, doing, .. }) => Err(format!("worker {slot} does not listen: {doing}"))?,
        spawned => spawned?,
    };
    let addresses: Vec<String> = fleet.up().addresses.iter().map(ToString::to_string).collect();
    println!("serving {}", addresses.join(", "));

    let config = fleet.up().config.clone();
    thread::spawn(move || {
        let client = Client { runtime_dir: &config.runtime_dir, name: config.name.as_str() };
        thread::scope(|threads| {
            threads.spawn(|| follow(client).unwrap_or_else(|error| eprintln!("fleet: {error}")));
            threads.spawn(|| interrupted().map(|()| client.stop()));
            for _line in stdin().lines().map_while(Result::ok).filter(|line| line == "one") {
                client.scale(1).unwrap_or_else(|error| eprintln!("fleet: {error}"));
            }
        });
    });
    Ok(fleet.wait()?)
}

/// Waits for Ctrl-C. Signals are this program's own.
fn interrupted() -> io::Result<()> {
    Builder::new_current_thread().enable_io().build()?.block_on(ctrl_c())
}

/// Until the fleet ends.
fn follow(fleet: Client<'_>) -> Result<(), ControlError> {
    for told in fleet.events(true)? {
        if let Told::Event(event) = told? {
            println!("{} {:?}: {}", event.event, event.slot, event.cause);
        }
    }
    Ok(())
}
