//! Workers that end by their own design are replaced without a gap.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use crate::harness::{
    Stage,
    stage::fixture,
    steady::{Steady, steady},
    until,
};

const ADDRESS: &str = "127.0.0.1:8080";

/// Ends that are seen: more than slots, so that the same slot ends more than once, and pace would show.
const ENDS: u32 = 6;

#[track_caller]
fn nobody_is_refused(how: &str) {
    // On a busy machine all four may end in one moment, before any replacement has come up.
    assert!((0..3).any(|_| is_nobody_refused(how)), "refused in three fleets");
}

fn is_nobody_refused(how: &str) -> bool {
    let stage = Stage::new();
    let command = ["python3", &fixture("recycling.py"), "127.0.0.1", "8080", "150", how];
    let fleet = stage.start(&["-n", "4"], &command);
    fleet.wait_for_groups(&[ADDRESS], 4);
    let load = Steady { address: ADDRESS, rate: 200, threads: 8, keepers: 0, think: Duration::from_millis(20) };
    let (seen, ()) = steady(load, |_| {
        until("many have ended", || fleet.status().slots.iter().map(|slot| slot.restarts).sum::<u32>() >= ENDS);
    });
    eprintln!("{:?}", seen.errors());
    assert!(seen.answered.load(Relaxed) > 500);
    let waiting = fleet.status().slots.into_iter().filter_map(|slot| slot.starts_in_s).fold(0.0, f64::max);
    assert!(waiting < 1.0, "the pace of a crash: {waiting} s");
    seen.errors().is_empty()
}

#[test]
fn who_closes_its_listener_first_is_replaced() {
    nobody_is_refused("closing");
}

#[test]
fn who_exits_at_once_is_replaced_at_once() {
    nobody_is_refused("abruptly");
}

#[test]
fn an_end_right_after_the_start_is_paced() {
    let stage = Stage::new();
    let script = format!(
        "cut -d' ' -f1 /proc/uptime >> $STAGE/starts; timeout -s KILL 0.3 python3 '{}' 127.0.0.1 8080; exit 0",
        fixture("asyncio_server.py")
    );
    // Longer than the life of a shell on a machine that has a bad minute.
    let fleet = stage.launch(&["-n", "1", "--respawn", "6s", "--ready-when", "started"], &["sh", "-c", &script]);
    let starts = || -> Vec<f64> {
        let text = std::fs::read_to_string(stage.path().join("starts")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    };
    until("it has been started twice", || starts().len() >= 2);
    let gap = starts()[1] - starts()[0];
    // A shell that starts late is no pace, so half has to do.
    assert!(gap > 3.0, "{gap}");
    drop(fleet);
}
