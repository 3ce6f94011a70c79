//! A fleet in a program that is not llb's own, `examples/fleet.rs`, asked and told by way of the library alone.

mod harness;

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use harness::{DEADLINE, Plain, Stage, fleet::LLB, get, output, stage::fixture, until};
use llb::{
    config::Config,
    control::{ControlError, Done, Fleet, Outcome},
    internals::fleet_path,
};

const ADDRESS: &str = "127.0.0.1:8080";

#[test]
fn a_fleet_runs_in_another_program_and_is_asked_by_the_library() {
    let stage = Stage::new();
    let (name, runtime_dir) = (format!("embedded-{}", std::process::id()), stage.path().join("run"));
    let text = format!(
        "name = {name:?}\nruntime-dir = {runtime_dir:?}\nworkers = 2\nport = [8080]\n\
         command = [\"python3\", {:?}, \"127.0.0.1\", \"8080\"]\n",
        fixture("asyncio_server.py")
    );
    let file = stage.write("llb.toml", &text);
    assert_eq!(Config::read(&file).expect("a file that is right").name.as_str(), name);

    let mut program = Command::new(Path::new(LLB).with_file_name("examples/fleet"));
    program.arg(&file).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut program = Plain::spawn(&mut program);
    let mut input = program.take_stdin();
    let said = output::Output::of(program.take_stdout());
    until("it serves", || said.text().contains(&format!("serving {ADDRESS}")));

    let fleet = Fleet { runtime_dir: &runtime_dir, name: &name };
    let status = fleet.status().expect("an answer");
    assert_eq!((status.workers.len(), status.pid), (2, program.pid().as_raw().cast_unsigned()));
    assert!(get(ADDRESS, "/").slot() < 2);
    input.write_all(b"one\n").expect("a program that reads");
    until("one worker is left", || fleet.status().expect("an answer").workers.len() == 1);
    until("it has said so", || said.text().contains("scaled None"));
    let events = fleet.events(false).expect("an answer");
    assert!(events.map(|told| format!("{:?}", told.expect("an event"))).any(|event| event.contains("scaled")));

    assert!(matches!(fleet.stop(), Ok(Outcome::Done(Done { ok: true, .. }))));
    assert!(program.wait(DEADLINE).success(), "{}", said.text());
    assert!(matches!(fleet.status(), Err(ControlError::NotRunning { .. })));
    assert!(!fleet_path(&name.parse().expect("a name")).expect("a cgroup").exists());
}
