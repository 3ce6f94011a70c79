//! Fleets whose workers report what the test says.

use llb::observe::status::Status;

use super::{Fleet, Stage, stage::fixture, until};

/// Reports that a worker is told to write at once: far more than the eight of the past that an estimate holds on to.
const REPORTS: u32 = 40;

/// A fleet of workers that write reports when told to, and say nothing else: an unanswered ping says that a worker is
/// slow, which on a machine that has a bad minute it is.
#[track_caller]
pub(crate) fn reporting(stage: &Stage, address: &str, slots: u32, args: &[&str]) -> Fleet {
    let (addr, port) = address.rsplit_once(':').expect("an address and port");
    let slots_arg = slots.to_string();
    let args = [&["-n", &slots_arg], args].concat();
    let fleet = stage.start(&args, &["python3", &fixture("report.py"), addr, port]);
    fleet.wait_for_groups(&[address], slots);
    for slot in 0..slots {
        assert_eq!(stage.tell(slot, "mute"), "ok");
    }
    fleet
}

/// Has each slot report `ms` of it, until llb has taken it in and publishes `least` as the least.
#[track_caller]
pub(crate) fn report(stage: &Stage, fleet: &Fleet, slots: u32, least: u32, ms: impl Fn(u32) -> u32) {
    let costs = |status: &Status| {
        status.workers.iter().all(|worker| {
            // Estimates are told apart by an eighth; see the widths of the median's buckets.
            let expected_us = f64::from(ms(worker.slot)) * 1e3;
            (worker.cost_us - expected_us).abs() <= expected_us / 8.0
        })
    };
    let is_least = || {
        for slot in 0..slots {
            let line = format!(r#"say {REPORTS} {{"cmd":"latency","us":{}}}"#, ms(slot) * 1_000);
            assert_eq!(stage.tell(slot, &line), "ok");
        }
        let status = fleet.status();
        status.least_slot == Some(least) && costs(&status)
    };
    until(&format!("slot {least} is the least"), is_least);
}
