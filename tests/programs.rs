//! Programs as they are, unmodified, on one port: each serves from all its workers, and it is llb that chose, which
//! the selector's own counters say, and not the kernel's hash by chance.

mod harness;

use harness::{Fleet, Stage, Tally};

/// Round-robin makes the expectation exact: N times `turns` connections are `turns` for each.
const EXACT: [&str; 4] = ["-n", "3", "--policy", "round-robin"];
const SLOTS: u32 = 3;
const TURNS: u32 = 4;

#[test]
fn pythons_http_server() {
    let stage = Stage::new();
    for slot in 0..SLOTS {
        stage.write(&format!("www.{slot}/index.html"), &slot.to_string());
    }
    let serve = "exec python3 -m http.server 8080 --bind 127.0.0.1 --directory $STAGE/www.$WORKER_ID";
    let fleet = stage.start(&EXACT, &["sh", "-c", serve]);
    assert_all_serve(&fleet, "127.0.0.1:8080", &["127.0.0.1:8080"]);
}

/// `SLOTS * TURNS` connections to `addr` go to all workers; the fleet's groups are `groups`.
#[track_caller]
fn assert_all_serve(fleet: &Fleet, addr: &str, groups: &[&str]) {
    fleet.wait_for_groups(groups, SLOTS);
    let mut tally = Tally::default();
    tally.ask(addr, "/", SLOTS * TURNS);
    assert_steered(fleet, &tally);
}

#[track_caller]
fn assert_steered(fleet: &Fleet, tally: &Tally) {
    tally.assert_steered(&fleet.status());
    fleet.wait_until_quiet();
}
