//! What programs find in their environment does them no harm, and tells them apart.

use std::{collections::BTreeSet, fs, process::Stdio};

use crate::harness::{Fleet, Stage, proc::variable, stage::fixture, until};
use nix::unistd::Pid;

/// A worker's variables, as a shell writes them down, and whatever else it does before it serves.
fn serving_after(first: &str) -> [String; 3] {
    ["sh".into(), "-c".into(), format!("{first}; exec python3 '{}' 127.0.0.1 8080", fixture("asyncio_server.py"))]
}

fn start(stage: &Stage, args: &[&str], first: &str) -> Fleet {
    stage.start(args, &serving_after(first).each_ref().map(String::as_str))
}

/// A plugin of a web server that finds `NOTIFY_SOCKET` may insist on being heard; one that finds Node's channel is Node.
#[test]
fn nobody_gets_a_variable_that_means_another() {
    let stage = Stage::new();
    let fleet = start(&stage, &["-n", "1"], "env > $STAGE/env");
    let env = fs::read_to_string(stage.path().join("env")).unwrap();
    for name in ["NODE_CHANNEL_FD", "NODE_CHANNEL_SERIALIZATION_MODE", "NOTIFY_SOCKET"] {
        assert!(!env.lines().any(|line| line.starts_with(&format!("{name}="))), "{env}");
    }
    drop(fleet);
}

#[test]
fn a_child_of_python_that_is_node_lives() {
    let stage = Stage::new();
    let program = "import subprocess, sys, runpy\n\
                   code = subprocess.run(['node', '-e', '1'], stderr=subprocess.DEVNULL).returncode\n\
                   sys.exit(9) if code else runpy.run_path(sys.argv[1], run_name='__main__')";
    let server = fixture("asyncio_server.py");
    // `run_path` takes the rest as the server's own arguments.
    let program = program.replace("runpy.run_path(sys.argv[1]", "runpy.run_path(sys.argv.pop(1)");
    stage.start(&["-n", "1"], &["python3", "-c", &program, &server, "127.0.0.1", "8080"]);
}

#[test]
fn the_word_ready_needs_no_newline() {
    let stage = Stage::new();
    let args = ["-n", "1", "--ready-when", "ready"];
    start(&stage, &args, "printf ready >&$LLB_FD");
}

#[test]
fn behind_npm_the_way_out_is_named() {
    let stage = Stage::new();
    // Stands for npm, which hands on no descriptor.
    let npm = stage.write(
        "npm",
        &format!("#!/bin/sh\nexec 3>&-\nexec python3 '{}' 127.0.0.1 8080\n", fixture("asyncio_server.py")),
    );
    fs::set_permissions(&npm, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let args = ["-n", "1", "--ready-when", "ready", "--ready-timeout", "2s"];
    let ended = stage.launch(&args, &[npm.to_str().unwrap()]).wait();
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    assert!(ended.stderr.contains("does not get the report channel: run node itself"), "{}", ended.stderr);
}

#[test]
fn a_daemon_is_told_to_stay_in_the_foreground() {
    let stage = Stage::new();
    let daemon = format!("python3 '{}' 127.0.0.1 8080 & exit 0", fixture("asyncio_server.py"));
    let ended = stage.launch(&["-n", "2", "--respawn", "50ms"], &["sh", "-c", &daemon]).wait();
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    assert!(ended.stderr.contains("; run it in the foreground: "), "{}", ended.stderr);
    assert!(!ended.stderr.contains("llb: serving"), "{}", ended.stderr);
}

fn numbers(fleet: &Fleet) -> Vec<u32> {
    let pids = fleet.status().workers.into_iter().map(|worker| Pid::from_raw(worker.pid.cast_signed()));
    pids.filter_map(|pid| variable(pid, "LLB_WORKER")?.parse().ok()).collect()
}

#[test]
fn no_two_living_workers_share_a_number() {
    let stage = Stage::new();
    let (args, command) = (["-n", "2", "--drain-timeout", "60s"], serving_after(":"));
    let command = command.each_ref().map(String::as_str);
    let mut fleet = stage.start(&args, &command);
    assert_eq!(numbers(&fleet).into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([0, 1]));
    // Two old ones that drain, for as long as their clients stay.
    let mut clients: Vec<_> = (0..8).map(|_| crate::harness::Client::connect("127.0.0.1:8080")).collect();
    for client in &mut clients {
        client.send("/");
        client.receive();
    }
    assert!(fleet.command("reload").stdout(Stdio::null()).status().unwrap().success());
    let mut found = numbers(&fleet);
    found.sort_unstable();
    assert_eq!(found, [0, 1, 2, 3], "old and new live beside each other");
    // The next master goes on with that.
    fleet.kill_master();
    fleet.take_over(&args, &command);
    let pid = fleet.status().workers.iter().find(|worker| worker.generation == 2).map(|worker| worker.pid).unwrap();
    nix::sys::signal::kill(Pid::from_raw(pid.cast_signed()), nix::sys::signal::Signal::SIGKILL).unwrap();
    until("it is replaced", || {
        let workers = fleet.status().workers;
        workers.iter().filter(|worker| worker.state == "serving" && worker.pid != pid).count() == 2
    });
    let found = numbers(&fleet);
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len(), "{found:?}");
    drop(clients);
}
