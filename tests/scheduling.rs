//! Where and how readily workers run.

use std::fs;

use crate::harness::{Fleet, Stage, until};
use nix::{
    sched::{CpuSet, sched_getaffinity},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

fn start(stage: &Stage, args: &[&str]) -> Fleet {
    stage.start(&[&["-n", "3", "-p", "8080"], args].concat(), &[&stage.static_server(), "8080"])
}

fn pid(fleet: &Fleet, slot: u32) -> Pid {
    Pid::from_raw(fleet.worker(slot).pid.cast_signed())
}

fn cpus(pid: Pid) -> Vec<usize> {
    let set = sched_getaffinity(pid).expect("a process");
    (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu) == Ok(true)).collect()
}

fn nice(pid: Pid) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    // The name in parentheses can hold any; the nice value is the 19th field.
    let fields = stat.rsplit_once(") ").expect("a name in parentheses").1.to_owned();
    fields.split(' ').nth(16).expect("a field").parse().expect("a number")
}

/// The CPU of each of the slots 0 to 2, whose workers have one each.
fn places(fleet: &Fleet) -> Vec<usize> {
    let of = |slot| {
        let cpus = cpus(pid(fleet, slot));
        assert_eq!(cpus.len(), 1, "slot {slot} runs on {cpus:?}");
        cpus[0]
    };
    (0..3).map(of).collect()
}

#[test]
fn each_slot_runs_on_its_cpu() {
    let stage = Stage::new();
    let ours = cpus(Pid::this());
    let fleet = start(&stage, &["--cpus", "auto"]);
    let mut auto = places(&fleet);
    // llb itself stays where it may run.
    assert_eq!(cpus(fleet.pid()), ours);
    auto.sort_unstable();
    auto.dedup();
    assert_eq!(auto.len(), ours.len().min(3), "the slots are not spread over {ours:?}");
    drop(fleet);

    let (first, last) = (ours[0], ours[ours.len() - 1]);
    let fleet = start(&stage, &["--cpus", &format!("{last},{first}")]);
    assert_eq!(places(&fleet), [last, first, last]);
    drop(fleet);
    let fleet = start(&stage, &[]);
    assert_eq!(cpus(pid(&fleet, 0)), ours);
}

#[test]
fn every_later_worker_runs_where_its_slot_does() {
    let stage = Stage::new();
    let ours = cpus(Pid::this());
    let (first, last) = (ours[0], ours[ours.len() - 1]);
    let text = format!("cpus = \"{last},{first}\"\nnice = 19\nrespawn = \"0s\"\n");
    let file = stage.write("llb.toml", &text);
    let fleet = start(&stage, &["-c", file.to_str().expect("a path")]);
    let is_right = || {
        assert_eq!(places(&fleet), [last, first, last]);
        assert!((0..3).all(|slot| nice(pid(&fleet, slot)) == 19));
    };
    is_right();

    let old = pid(&fleet, 1);
    kill(old, Signal::SIGKILL).expect("a worker");
    let is_replaced = || fleet.status().workers.iter().any(|w| w.slot == 1 && w.pid != old.as_raw().cast_unsigned());
    until("a worker that was killed is replaced", is_replaced);
    fleet.wait_until_serving();
    is_right();

    let reloaded = fleet.command("reload").output().expect("llb");
    assert!(reloaded.status.success(), "{}", String::from_utf8_lossy(&reloaded.stderr));
    until("the old ones have gone", || fleet.status().workers.len() == 3);
    is_right();
}

#[test]
fn a_cpu_that_is_not_there_is_said() {
    let stage = Stage::new();
    let missing = (CpuSet::count() - 1).to_string();
    let ended = stage.launch(&["-n", "1", "--cpus", &missing], &[&stage.static_server(), "8080"]).wait();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("run on the CPU that --cpus gives it"), "{}", ended.stderr);
}

#[test]
fn workers_give_way_as_they_are_told() {
    let stage = Stage::new();
    let fleet = start(&stage, &["--nice", "19"]);
    assert!((0..3).all(|slot| nice(pid(&fleet, slot)) == 19));
    assert_eq!(nice(fleet.pid()), nice(Pid::this()));
}
