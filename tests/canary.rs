//! New code that is watched in a few slots before it comes to all.

use std::time::Duration;

use crate::harness::{
    Fleet, Stage,
    stage::fixture,
    steady::{Steady, steady},
};

const ADDRESS: &str = "127.0.0.1:8080";
const STEADY: Steady<'_> =
    Steady { address: ADDRESS, rate: 200, threads: 8, keepers: 0, think: Duration::from_millis(20) };

/// What a reload to new code comes to: exit code, what it says, what clients saw go wrong, and the fleet.
struct Tried {
    code: Option<i32>,
    said: String,
    errors: Vec<String>,
    fleet: Fleet,
}

fn reload(stage: &Stage, version: &str, args: &[&str], reload: &[&str]) -> Tried {
    stage.write("version", "good");
    let args = [&["-n", "4", "--respawn", "100ms"], args].concat();
    let fleet = stage.start(&args, &["python3", &fixture("versions.py"), "127.0.0.1", "8080"]);
    fleet.wait_for_groups(&[ADDRESS], 4);
    stage.write("version", version);
    let (seen, output) = steady(STEADY, |_| fleet.command("reload").args(reload).output().expect("the llb binary"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Tried { code: output.status.code(), said, errors: seen.errors().into_keys().collect(), fleet }
}

impl Tried {
    #[track_caller]
    fn assert_rolled_back(self, why: &str) {
        assert!(self.code == Some(6) && self.said.contains(why), "{:?}: {}", self.code, self.said);
        let status = self.fleet.status();
        assert_eq!((status.generation, status.reloading), (1, None));
        let old = status.workers.iter().filter(|worker| worker.generation == 1 && worker.state == "serving").count();
        assert_eq!(old, 4, "{status:?}");
        let events = self.fleet.command("events").output().expect("the llb binary").stdout;
        let events = String::from_utf8_lossy(&events).into_owned();
        assert!(events.lines().any(|line| line.contains("rolled_back") && line.contains(why)), "{events}");
    }
}

#[test]
fn new_code_that_fails_is_rolled_back() {
    let stage = Stage::new();
    // Long before the time is over.
    let tried = reload(&stage, "failing", &[], &["--canary", "1", "--watch", "10m"]);
    assert!(tried.errors.iter().all(|error| error.contains("500")), "{:?}", tried.errors);
    let canary = tried.fleet.status().canary.unwrap_or_default();
    assert!(canary.contains("requests failed") && canary.contains("the old: 0 of"), "{canary}");
    tried.assert_rolled_back("fails clearly more often than the old (z ");
}

#[test]
fn new_code_that_is_slow_is_rolled_back() {
    let stage = Stage::new();
    // By turns, so that it gets its share however slow it is.
    let args = ["--policy", "round-robin"];
    let tried = reload(&stage, "slow", &args, &["--canary", "2", "--watch", "5s"]);
    assert!(tried.errors.is_empty(), "{:?}", tried.errors);
    tried.assert_rolled_back("is clearly slower than the old at p50 (z ");
}

#[test]
fn new_code_that_dies_on_trial_is_rolled_back() {
    let stage = Stage::new();
    let tried = reload(&stage, "dying", &[], &["--canary", "1", "--watch", "10m", "--rolling"]);
    tried.assert_rolled_back("a new worker has exited while the new code was watched");
}

#[test]
fn new_code_that_is_as_good_comes_to_all() {
    let stage = Stage::new();
    let tried = reload(&stage, "good", &[], &["--canary", "1", "--watch", "3s"]);
    assert!(tried.code == Some(0) && tried.errors.is_empty(), "{:?} {} {:?}", tried.code, tried.said, tried.errors);
    let status = tried.fleet.status();
    assert_eq!(status.generation, 2);
    let canary = status.canary.unwrap_or_default();
    assert!(canary.starts_with("generation 2 is no worse; new: 0 of "), "{canary}");
    let events = tried.fleet.command("events").output().expect("the llb binary").stdout;
    let events = String::from_utf8_lossy(&events).into_owned();
    assert_eq!(events.lines().filter(|line| line.contains(" canary ")).count(), 2, "begun and passed: {events}");
}

#[test]
fn trial_without_elders_or_books_is_refused() {
    let stage = Stage::new();
    let tried = reload(&stage, "good", &[], &["--canary", "4", "--watch", "3s"]);
    assert!(tried.code == Some(7) && tried.said.contains("1 to 3"), "{:?} {}", tried.code, tried.said);
    drop(tried);
    let tried = reload(&stage, "good", &["--tracking", "off"], &["--canary", "1", "--watch", "3s"]);
    assert!(tried.code == Some(7) && tried.said.contains("--tracking full"), "{:?} {}", tried.code, tried.said);
}
