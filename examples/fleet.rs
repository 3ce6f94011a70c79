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
    process::ExitCode,
    thread,
};

use llb::{
    Fleet,
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
    let mut fleet = Fleet::from_file(path);
    if let Some(llb) = env::args_os().nth(2) {
        fleet = fleet.guard(llb);
    }
    let fleet = fleet.spawn()?;
    let addresses: Vec<String> = fleet.up().addresses.iter().map(ToString::to_string).collect();
    println!("serving {}", addresses.join(", "));

    let [follower, stopper, scaler] = [(); 3].map(|()| fleet.control().clone());
    thread::spawn(move || follow(&follower).unwrap_or_else(|error| eprintln!("fleet: {error}")));
    thread::spawn(move || interrupted().map(|()| stopper.stop()));
    thread::spawn(move || {
        for _line in stdin().lines().map_while(Result::ok).filter(|line| line == "one") {
            scaler.scale(1).unwrap_or_else(|error| eprintln!("fleet: {error}"));
        }
    });
    Ok(fleet.wait()?)
}

/// Waits for Ctrl-C. Signals are this program's own.
fn interrupted() -> io::Result<()> {
    Builder::new_current_thread().enable_io().build()?.block_on(ctrl_c())
}

/// Until the fleet ends.
fn follow(fleet: &Client) -> Result<(), ControlError> {
    for told in fleet.events(true)? {
        if let Told::Event(event) = told? {
            println!("{} {:?}: {}", event.event, event.slot, event.cause);
        }
    }
    Ok(())
}
