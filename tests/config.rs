//! The configuration file, with the real binary: what it says is done, the command line wins, and what is wrong in it is
//! told with its line.

use std::process::{Command, Output};

use crate::harness::{Stage, fleet::LLB, get, stage::fixture};

const ADDR: &str = "127.0.0.1:8080";

fn check(args: &[&str]) -> Output {
    Command::new(LLB).arg("check").args(args).output().expect("the llb binary")
}

#[track_caller]
fn assert_refused(output: &Output, says: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    for words in says {
        assert!(stderr.contains(words), "{words:?} is not in: {stderr}");
    }
    assert!(output.stdout.is_empty());
}

/// A file for a fleet of two workers under `hash`.
fn two_by_hash(stage: &Stage) -> String {
    let server = fixture("asyncio_server.py");
    let text = format!(
        "workers = 2\nport = [8080]\npolicy = \"hash\"\nready-timeout = \"1m 30s\"\nname = \"not-this\"\n\
         command = [\"python3\", \"{server}\", \"127.0.0.1\", \"8080\"]\n"
    );
    stage.write("llb.toml", &text).to_str().unwrap().to_owned()
}

#[test]
fn a_fleet_is_what_its_file_says() {
    let stage = Stage::new();
    // Its name and its directory the harness gives on the command line: they win.
    let fleet = stage.start(&["-c", &two_by_hash(&stage)], &[]);
    let status = fleet.status();
    assert_eq!((status.workers.len(), status.policy.as_str(), status.name.as_str()), (2, "hash", fleet.name()));
    assert!(get(ADDR, "/").slot() < 2);
}

#[test]
fn the_command_line_wins_over_the_file() {
    let stage = Stage::new();
    let static_server = stage.static_server();
    let args = ["-c", &two_by_hash(&stage), "--policy", "round-robin", "-n", "1", "-p", "8081"];
    let fleet = stage.start(&args, &[&static_server, "8081"]);
    let status = fleet.status();
    assert_eq!((status.workers.len(), status.policy.as_str()), (1, "round-robin"));
    assert!(status.groups.iter().all(|group| group.address.ends_with(":8081")), "{:?}", status.groups);
}

#[test]
fn a_right_file_is_ok_and_a_wrong_one_is_told_of_with_its_line() {
    let stage = Stage::new();
    let right = two_by_hash(&stage);
    let output = check(&["-c", &right]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout, b"ok\n");
    let example = format!("{}/../examples/llb.toml", env!("CARGO_MANIFEST_DIR"));
    assert!(check(&["--config", &example]).status.success());

    for (text, says) in [
        (
            "workers = 2\npolcy = \"hash\"\n",
            &["wrong.toml, line 2: ", "is \"policy\" meant", "2 | polcy = \"hash\""][..],
        ),
        ("\n\nready-timeout = \"soon\"", &["line 3: ", "\"soon\" is no value of ready-timeout"]),
        ("workers = [", &["line 1: "]),
        ("\ncommand = [\"no-such-command\", \"x\"]", &["line 2: ", "\"no-such-command\" in PATH", "2 | command = "]),
        ("command = [\"/etc\"]", &["line 1: ", "/etc may not be run"]),
        ("workers = 2", &["no command"]),
        ("command = [\"true\"]\nuser = \"no-such-user\"", &["line 2: ", "no user \"no-such-user\"", "2 | user = "]),
        ("command = [\"true\"]\ngroup = \"no-such-group\"", &["line 2: ", "no group", "2 | group = "]),
    ] {
        let wrong = stage.write("wrong.toml", text);
        assert_refused(&check(&["-c", wrong.to_str().unwrap()]), says);
    }
    // `llb run` says the same, before it touches anything.
    let wrong = stage.write("wrong.toml", "workers = 0");
    let output = Command::new(LLB).args(["run", "-c"]).arg(&wrong).output().unwrap();
    assert_refused(&output, &["line 1: ", "1..=256"]);
    assert_refused(&check(&["-c", "/no/such/file"]), &["/no/such/file"]);
    assert_refused(&check(&["-c", "/"]), &["cannot read", "directory"]);
    assert_refused(&check(&["--", "/no/such/program"]), &["there is no program /no/such/program"]);
    assert_refused(&check(&["-c", &right, "-n", "0"]), &["1..=256"]);
    let given = check(&["-c", &right, "--user", "no-such-user"]);
    assert_refused(&given, &["no user \"no-such-user\""]);
    assert!(!String::from_utf8_lossy(&given.stderr).contains("line"), "the file is not at fault");
}
