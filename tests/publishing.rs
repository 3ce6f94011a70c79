//! The master while nothing happens: it publishes on time, and is small.

use std::{fs, mem::offset_of, num::NonZeroUsize, os::fd::AsFd, sync::atomic::Ordering, thread, time::Duration};

use crate::harness::{Fleet, Stage, until};
use aya::{maps::MapInfo, programs::loaded_programs};
use llb::{
    internals::{clock, mmap::SharedWords},
    model::Instant,
};
use llb_common::{abi::Published, names};

/// A publication is due after ten milliseconds at most; the rest is for the machine, which may have others to serve.
const PATIENCE: Duration = Duration::from_millis(15);

/// For so long no publication may be late: a hundred of them.
const SPAN: Duration = Duration::from_secs(1);

/// Between two looks, so that none of them is missed.
const PAUSE: Duration = Duration::from_millis(2);

/// What the master may ever take beside the pages of its program, of which a build without optimisation has many, KiB. All of the
/// kernel's types are more than twice that.
const MOST_KIB: u64 = 8 * 1024;

#[test]
fn an_idle_fleets_costs_are_published_every_ten_milliseconds() {
    let stage = Stage::new();
    let fleet = stage.start(&["-n", "4"], &[&stage.static_server(), "8080"]);
    let published = published(&fleet);
    until("no publication of a second is late", || is_on_time(&published));
}

#[test]
fn a_large_fleets_master_stays_small_from_its_first_moment_on() {
    let stage = Stage::new();
    let fleet = stage.start(&["-n", "64"], &[&stage.static_server(), "8080"]);
    let status = fs::read_to_string(format!("/proc/{}/status", fleet.pid())).expect("a running master");
    let kib = |field: &str| {
        let of = |line: &str| line.strip_prefix(field)?.trim().strip_suffix(" kB")?.parse::<u64>().ok();
        status.lines().find_map(of).expect("a field of /proc/PID/status")
    };
    let (peak, program) = (kib("VmHWM:"), kib("RssFile:"));
    assert!(peak <= program + MOST_KIB, "{peak} KiB, {program} of them its program");
}

/// Whether each publication of a [`SPAN`] from now comes within [`PATIENCE`] of the one before. The times compared are
/// those that were published: if this test itself is late it may miss one, and never sees one that has not been.
fn is_on_time(published: &SharedWords) -> bool {
    let at = || Instant(published.words()[offset_of!(Published, at) / 8].load(Ordering::Acquire));
    let (mut last, end) = (at(), clock::now().after(SPAN));
    while clock::now() < end {
        thread::sleep(PAUSE);
        let next = at();
        if next.since(last) > PATIENCE.as_nanos() as u64 {
            return false;
        }
        last = next;
    }
    clock::now().since(last) <= PATIENCE.as_nanos() as u64
}

/// The memory in which this very fleet's selector reads the time of publication first. Others may be running.
fn published(fleet: &Fleet) -> SharedWords {
    let descriptors = fs::read_dir(format!("/proc/{}/fdinfo", fleet.pid())).expect("a running master");
    let programs: Vec<u32> = descriptors
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
        .filter_map(|text| text.lines().find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok()))
        .collect();
    let map = loaded_programs()
        .flatten()
        .filter(|program| programs.contains(&program.id()))
        .flat_map(|program| program.map_ids().ok().flatten().unwrap_or_default())
        .filter_map(|id| MapInfo::from_id(id).ok())
        .find(|map| map.name_as_str() == Some(names::PUBLISHED))
        .expect("the selector's map");
    let words = NonZeroUsize::new(size_of::<Published>() / 8).expect("more than nothing");
    SharedWords::map(map.fd().expect("a descriptor").as_fd(), words).expect("memory that is shared")
}
