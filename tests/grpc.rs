//! gRPC's own server and client, in the clear and in TLS: a call is in flight until it is answered, whatever the two say to each other
//! meanwhile, and none is lost in a reload.

use std::{
    collections::BTreeSet,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::harness::{
    Fleet, Stage,
    stage::{fixture, python_with},
    until,
};
use llb_kit::paths;

const PORT: &str = "8080";
const KINDS: [&str; 2] = ["plain", "tls"];

fn python() -> [String; 3] {
    python_with(&paths::grpcio())
}

fn start(stage: &Stage, args: &[&str], server: &[&str]) -> Fleet {
    stage.certify();
    let (python, script) = (python(), fixture("grpc_server.py"));
    let command: Vec<&str> = python.iter().map(String::as_str).chain([&*script, PORT]).collect();
    stage.start(args, &[&command, server].concat())
}

/// Calls over so many channels: each has an answer of so many ms.
struct Calls(Child);

impl Calls {
    fn begin(stage: &Stage, kind: &str, channels: u32, ms: &[u32]) -> Self {
        let [env, path, python] = python();
        let certificate =
            if kind == "tls" { stage.path().join("cert.pem").display().to_string() } else { "-".to_owned() };
        let mut client = Command::new(env);
        client.args([path, python, fixture("grpc_client.py"), PORT.to_owned(), channels.to_string(), certificate]);
        client.args(ms.iter().map(u32::to_string));
        Calls(client.stdout(Stdio::piped()).spawn().expect("a client"))
    }

    fn is_over(&mut self) -> bool {
        self.0.try_wait().expect("a child").is_some()
    }

    /// Who has answered each.
    #[track_caller]
    fn answers(self) -> Vec<u32> {
        let output = self.0.wait_with_output().expect("a client");
        let said = String::from_utf8(output.stdout).expect("text");
        said.lines().map(|line| line.parse().unwrap_or_else(|_| panic!("{line}"))).collect()
    }
}

#[test]
fn a_call_is_in_flight_until_it_is_answered() {
    for kind in KINDS {
        let stage = Stage::new();
        let fleet = start(&stage, &["-n", "2"], &["8", kind]);
        for made in 1..3 {
            let mut calls = Calls::begin(&stage, kind, 1, &[1_000]);
            until("it is in flight", || fleet.in_flight() == 1);
            let mut seen = Vec::new();
            while !calls.is_over() {
                seen.push(fleet.in_flight());
                thread::sleep(Duration::from_millis(10));
            }
            assert_eq!(calls.answers().len(), 1);
            let busy = seen.iter().filter(|in_flight| **in_flight == 1).count();
            // The client takes its time to end.
            assert!(seen.len() > 10 && busy * 10 >= seen.len() * 6, "{kind}: {seen:?}");
            fleet.wait_until_quiet();
            let counted: u64 = fleet.status().workers.iter().filter_map(|worker| worker.answered).sum();
            assert_eq!(counted, made, "{kind}");
        }
    }
}

#[test]
fn a_reload_loses_no_call() {
    for kind in KINDS {
        let stage = Stage::new();
        let fleet = start(&stage, &["-n", "2", "--drain-timeout", "2s"], &["8", kind]);
        let mut calls = Calls::begin(&stage, kind, 6, &[20; 120]);
        until("they are under way", || fleet.in_flight() > 0);
        for _ in 0..2 {
            let output = fleet.command("reload").output().expect("the llb binary");
            assert!(output.status.success(), "{output:?}");
        }
        assert!(!calls.is_over(), "they were reloaded while there were calls");
        let answers = calls.answers();
        assert_eq!(answers.len(), 720);
        assert!(answers.into_iter().collect::<BTreeSet<u32>>().len() > 2);
    }
}
