//! How workers go: what they have in work is finished, whether they have a shutdown of their own or not.

use std::{fs, time::Duration};

use crate::harness::{
    Client, Fleet, Stage, get, holds_within,
    stage::fixture,
    steady::{Steady, steady},
    until,
};
use llb::internals::clock;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const ADDRESS: &str = "127.0.0.1:8080";

/// Time enough to write down what has happened, on a machine that is busy.
const SOON: Duration = Duration::from_secs(5);

/// The command of the fixture, whose answers take `ms`; with a shutdown of its own on `own`.
fn leaving<'a>(script: &'a str, ms: &'a str, own: Option<&'a str>) -> Vec<&'a str> {
    ["python3", script, "127.0.0.1", "8080", ms].into_iter().chain(own).collect()
}

/// How many requests have begun, and how many have been answered; none has come with the end of its connection, which a
/// program that reads it takes for a client that has gone.
#[track_caller]
fn requests(stage: &Stage) -> (usize, usize) {
    let log = fs::read(stage.path().join("requests")).unwrap_or_default();
    assert!(!log.contains(&b'x'), "a request was read together with the end");
    let count = |of: u8| log.iter().filter(|byte| **byte == of).count();
    (count(b'b'), count(b'e'))
}

fn serves(fleet: &Fleet, slots: u32, generation: u32) -> bool {
    let workers = fleet.status().workers;
    let serving =
        |slot| workers.iter().any(|w| (w.slot, w.generation, w.state.as_str()) == (slot, generation, "serving"));
    (0..slots).all(serving)
}

/// Reloads three times under clients who keep their connections and pause for 50 ms.
#[track_caller]
fn reloads_cut_nothing_in_work(ms: &str, own: Option<&str>, drain_timeout: &str) {
    let stage = Stage::new();
    let script = fixture("leaving.py");
    let fleet = stage.start(&["-n", "2", "--drain-timeout", drain_timeout], &leaving(&script, ms, own));
    let load = Steady { address: ADDRESS, rate: 20, threads: 2, keepers: 18, think: Duration::from_millis(50) };
    let (seen, ()) = steady(load, |_| {
        for reload in 0..3 {
            fleet.signal(Signal::SIGHUP);
            until("the new generation serves", || serves(&fleet, 2, 2 + reload));
        }
        until("the old ones are gone", || fleet.status().workers.len() == 2);
    });
    assert!(seen.errors().is_empty(), "{:?}", seen.errors());
    // A worker writes down that it has answered when its client knows already.
    let all_are_answered = || requests(&stage).0 == requests(&stage).1;
    assert!(holds_within(SOON, all_are_answered), "cut in work: {own:?}, {ms} ms: {:?}", requests(&stage));
    assert!(requests(&stage).0 > 2 * load.keepers as usize, "too few to say anything");
}

#[test]
fn reload_cuts_no_short_request() {
    reloads_cut_nothing_in_work("20", None, "3s");
}

#[test]
fn reload_cuts_no_long_request() {
    reloads_cut_nothing_in_work("1000", None, "10s");
}

#[test]
fn own_shutdown_cuts_no_request() {
    reloads_cut_nothing_in_work("20", Some("SIGTERM"), "3s");
    reloads_cut_nothing_in_work("1000", Some("SIGTERM"), "3s");
}

/// The whole of the drain time is the program's.
#[test]
fn request_as_long_as_the_drain_time_is_answered() {
    let stage = Stage::new();
    let script = fixture("leaving.py");
    let fleet = stage.start(&["-n", "1", "--drain-timeout", "3s"], &leaving(&script, "0", None));
    let mut slow = Client::connect(ADDRESS);
    slow.send_last("/wait/2800");
    until("it is in work", || requests(&stage).0 == 1);
    fleet.signal(Signal::SIGHUP);
    assert_eq!(slow.receive().status, 200);
    until("the old one ends", || fleet.status().workers.len() == 1);
}

/// Nobody waits for the drain time of a program that ends itself.
#[test]
fn own_shutdown_is_asked_early() {
    let stage = Stage::new();
    let script = fixture("leaving.py");
    let fleet = stage.start(&["-n", "1", "--drain-timeout", "1h"], &leaving(&script, "0", Some("SIGTERM")));
    let mut kept = Client::connect(ADDRESS);
    kept.send("/");
    kept.receive();
    fleet.signal(Signal::SIGHUP);
    until("the old one has closed its idle connection and ended", || {
        fleet.status().workers.len() == 1 && serves(&fleet, 1, 2)
    });
    assert!(kept.is_closed());
}

/// A handler that only exits, behind a shell or not. One worker shows it, while another waits; from then on all finish first.
#[test]
fn who_drops_what_it_has_is_asked_no_more() {
    for is_behind_a_shell in [true, false] {
        let stage = Stage::new();
        let script = format!(
            "import runpy, signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n\
             runpy.run_path({:?}, run_name='__main__')\n",
            fixture("leaving.py")
        );
        let script = stage.write("exits.py", &script).display().to_string();
        let behind = format!("python3 '{script}' 127.0.0.1 8080 0; true");
        let command = if is_behind_a_shell { vec!["sh", "-c", &behind] } else { leaving(&script, "0", None) };
        let fleet = stage.start(&["-n", "4", "--drain-timeout", "10s"], &command);
        fleet.wait_for_groups(&[ADDRESS], 4);
        let begin = || {
            let begun = requests(&stage).0;
            let mut clients: Vec<Client> = (0..12).map(|_| Client::connect(ADDRESS)).collect();
            clients.iter_mut().for_each(|client| client.send_last("/wait/2500"));
            until("all are in work", || requests(&stage).0 == begun + 12);
            clients
        };
        let lost =
            |clients: Vec<Client>| clients.into_iter().filter_map(|mut client| client.try_receive().err()).count();

        let clients = begin();
        assert!(fleet.command("scale").arg("2").output().expect("llb scale").status.success());
        // Those of one worker, and not of both.
        let first = lost(clients);
        assert!((1..=4).contains(&first), "{first} of 12");
        assert!(fleet.stderr().contains("which its program catches, and dropped"), "{}", fleet.stderr());

        let clients = begin();
        fleet.signal(Signal::SIGHUP);
        assert_eq!(lost(clients), 0);
        until("the old ones are gone", || fleet.status().workers.len() == 2 && serves(&fleet, 2, 2));

        let clients = begin();
        assert_eq!(fleet.stop().code, Some(0));
        assert_eq!(lost(clients), 0);
    }
}

/// The first process sees to its children, unless all are to be asked at once.
#[test]
fn a_worker_waits_for_its_own_children() {
    for (scope, done) in [("first", 3), ("all", 0)] {
        let stage = Stage::new();
        let script = fixture("leaving.py");
        let args = ["-n", "1", "--stop-signal", "int", "--stop-whom", scope];
        let fleet = stage.start(&args, &leaving(&script, "0", Some("SIGINT")));
        for _ in 0..3 {
            get(ADDRESS, "/job");
        }
        assert_eq!(fleet.stop().code, Some(0));
        let jobs = fs::read_to_string(stage.path().join("jobs")).unwrap_or_default();
        assert_eq!(jobs.lines().count(), done, "{scope}");
    }
}

/// A shell in front of the server ends at once by the signal; the server is asked then, and has its time.
#[test]
fn a_server_behind_a_shell_ends_itself() {
    let stage = Stage::new();
    let command = format!("python3 '{}' 127.0.0.1 8080 0 SIGTERM; true", fixture("leaving.py"));
    let fleet = stage.start(&["-n", "1"], &["sh", "-c", &command]);
    let mut slow = Client::connect(ADDRESS);
    slow.send_last("/wait/1500");
    until("it is in work", || requests(&stage).0 == 1);
    fleet.signal(Signal::SIGHUP);
    assert_eq!(slow.receive().status, 200);
    until("the old one ends", || fleet.status().workers.len() == 1);
}

#[test]
fn idle_connections_are_closed_when_asked() {
    let stage = Stage::new();
    let server = stage.keepalive_server();
    let args = ["-n", "1", "--drain-timeout", "1h", "--drain-idle", "500ms"];
    let fleet = stage.start(&args, &[&server, "127.0.0.1", "8080"]);
    let mut kept = Client::connect(ADDRESS);
    kept.send("/");
    kept.receive();
    let told_at = clock::now();
    fleet.signal(Signal::SIGHUP);
    assert!(kept.is_closed());
    assert!(clock::now() >= told_at.after(Duration::from_millis(500)));
    until("the old one ends", || fleet.status().workers.len() == 1);
}

/// Many servers begin a request that comes before they have closed, and drop it at the end that they have read.
#[test]
fn a_closing_connection_takes_no_request() {
    let stage = Stage::new();
    let script = fixture("tardy.py");
    let args = ["-n", "1", "--drain-timeout", "1h", "--drain-idle", "500ms"];
    let fleet = stage.start(&args, &["python3", &script, "127.0.0.1", "8080"]);
    let mut kept = Client::connect(ADDRESS);
    kept.send("/");
    kept.receive();
    fleet.signal(Signal::SIGHUP);
    until("its worker has read the end", || stage.path().join("ended").exists());
    kept.send("/");
    fs::write(stage.path().join("asked"), "").unwrap();
    let late = stage.path().join("late");
    until("its worker closes", || late.exists());
    assert_eq!(fs::read_to_string(late).unwrap(), "");
    until("the old one ends", || fleet.status().workers.len() == 1);
}

/// What a worker holds alone its successor gets when it has ended.
#[test]
fn without_a_surge_the_old_worker_ends_first() {
    let stage = Stage::new();
    let server = stage.keepalive_server();
    let script = format!("exec 9>$STAGE/lock.$WORKER_ID; flock -n 9 || exit 1; exec '{server}' 127.0.0.1 8080");
    let fleet = stage.start(&["-n", "2", "--drain-timeout", "2s", "--respawn", "100ms"], &["sh", "-c", &script]);
    let reload = |args: &[&str]| fleet.command("reload").args(args).status().unwrap().code();
    assert_eq!(reload(&["--rolling"]), Some(6), "two cannot be");
    assert_eq!(reload(&["--rolling", "--max-surge", "0"]), Some(0));
    until("both are new", || fleet.status().workers.iter().all(|worker| worker.generation == 3));
    assert_eq!(get(ADDRESS, "/").status, 200);
}

/// A worker that has gone to another cgroup is told of, and ends with the others.
#[test]
fn a_worker_that_left_its_cgroup_is_ended() {
    let stage = Stage::new();
    let script = fixture("leaving.py");
    let fleet = stage.start(&["-n", "1", "--drain-timeout", "1s"], &leaving(&script, "0", None));
    let worker = fleet.worker(0).pid;
    get(ADDRESS, "/leave");
    fleet.signal(Signal::SIGHUP);
    until("the new one serves alone", || serves(&fleet, 1, 2) && fleet.status().workers.len() == 1);
    let events = fleet.command("events").output().unwrap();
    let events = String::from_utf8_lossy(&events.stdout);
    assert!(events.contains("left_cgroup"), "{events}");
    until("it has ended", || kill(Pid::from_raw(worker.cast_signed()), None).is_err());

    get(ADDRESS, "/leave");
    assert_eq!(fleet.stop().code, Some(0), "the end does not wait for ever");
}
