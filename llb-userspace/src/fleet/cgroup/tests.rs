use std::{
    ffi::OsStr,
    fs,
    path::Path,
    process,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use nix::{
    sys::{
        signal::Signal,
        wait::{WaitStatus, waitpid},
    },
    unistd::Pid,
};

use super::{CgroupError, FleetCgroup, WorkerCgroup, clear_leftover, end_leftover, fleet_path};
use crate::{
    config::{Name, Resources},
    fleet::spawn::{Order, Output, Spawned, spawn},
    model::{Generation, Slot},
    sys::{child::Scheduling, testing::until},
};

/// A fleet of a name that no other test has, cleared away when the test ends, however it ends.
struct Scene {
    name: Name,
    children: Vec<Pid>,
}

impl Scene {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test-{}-{}", process::id(), COUNT.fetch_add(1, Relaxed)).parse().unwrap();
        Self { name, children: Vec::new() }
    }

    fn fleet(&self) -> FleetCgroup {
        FleetCgroup::create(&self.name).unwrap()
    }

    /// Runs a shell script in `cgroup` and returns its pid.
    fn run(&mut self, cgroup: &WorkerCgroup, script: &str) -> Pid {
        let args = ["-c", script].map(Into::into);
        let order = Order {
            program: OsStr::new("sh"),
            args: &args,
            directory: None,
            slot: Slot(0),
            number: 0,
            generation: Generation(0),
            identity: None,
            notify: None,
            scheduling: Scheduling::default(),
            output: Output::Inherited,
        };
        let Spawned { pid, .. } = spawn(&order, cgroup).unwrap();
        self.children.push(pid);
        pid
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let cleared = clear_leftover(&fleet_path(&self.name).unwrap());
        for child in &self.children {
            let _ = waitpid(*child, None);
        }
        if !std::thread::panicking() {
            cleared.unwrap();
        }
    }
}

fn id_of(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).unwrap().ino()
}

#[test]
fn workers_live_below_the_fleet_below_us() {
    let scene = Scene::new();
    let mut fleet = scene.fleet();
    let first = fleet.worker(Slot(3), Generation(1), Resources::default()).unwrap();
    let second = fleet.worker(Slot(3), Generation(1), Resources::default()).unwrap();

    assert_eq!(fleet.path(), fleet_path(&scene.name).unwrap());
    assert!(fleet.path().ends_with(format!("llb.{}", scene.name)));
    assert_eq!(first.path(), fleet.path().join("w3.g1.0"));
    assert_eq!(second.path(), fleet.path().join("w3.g1.1"));
    assert_eq!((fleet.id(), first.id()), (id_of(fleet.path()), id_of(first.path())));
    assert_ne!(first.id(), second.id());
    if let Some(level) = fleet.worker_level() {
        let text = fs::read_to_string("/proc/self/cgroup").unwrap();
        let own = text.lines().find_map(|line| line.strip_prefix("0::")).unwrap();
        assert_eq!(level as usize, own.split('/').filter(|part| !part.is_empty()).count() + 2);
    }

    let again = FleetCgroup::create(&scene.name).unwrap_err();
    assert!(matches!(again, CgroupError::Exists { .. }), "{again}");

    let path = fleet.path().to_owned();
    drop((first, second, fleet));
    assert!(!path.exists());
}

#[test]
fn a_worker_is_all_that_it_forks_also_in_cgroups_of_its_own() {
    let mut scene = Scene::new();
    let mut fleet = scene.fleet();
    let worker = fleet.worker(Slot(0), Generation(0), Resources::default()).unwrap();
    assert!(!worker.is_populated().unwrap());

    let own = worker.path().join("own/deeper");
    // The grandchild leaves its session too, and hides in a cgroup of its own.
    let script = format!("mkdir -p {0}; (echo 0 > {0}/cgroup.procs; exec setsid sleep 600) & wait", own.display());
    let pid = scene.run(&worker, &script);
    assert!(worker.processes().unwrap().contains(&pid));
    until("both processes run", || fs::read_to_string(own.join("cgroup.procs")).is_ok_and(|pids| !pids.is_empty()));
    assert!(worker.is_populated().unwrap());
    assert_eq!(worker.processes().unwrap().len(), 2);

    worker.kill().unwrap();
    until("the worker is dead", || !worker.is_populated().unwrap());
    assert_eq!(worker.processes().unwrap(), []);

    let path = worker.path().to_owned();
    worker.remove().unwrap();
    assert!(!path.exists());
    fleet.remove().unwrap();
}

#[test]
fn a_cgroup_in_use_is_not_removed() {
    let mut scene = Scene::new();
    let mut fleet = scene.fleet();
    let worker = fleet.worker(Slot(0), Generation(0), Resources::default()).unwrap();
    scene.run(&worker, "exec sleep 600");
    let path = worker.path().to_owned();
    let error = worker.remove().unwrap_err();
    assert!(error.to_string().starts_with("cannot remove the cgroup /"), "{error}");

    fleet.kill().unwrap();
    until("the fleet is dead", || fs::read_to_string(path.join("cgroup.events")).unwrap().contains("populated 0"));
    fleet.remove().unwrap();
    assert!(!path.exists());
}

#[test]
fn a_leftover_is_killed_and_counted() {
    let mut scene = Scene::new();
    let path = fleet_path(&scene.name).unwrap();
    assert_eq!(clear_leftover(&path).unwrap(), 0);

    let mut fleet = scene.fleet();
    for slot in 0..3 {
        let worker = fleet.worker(Slot(slot), Generation(0), Resources::default()).unwrap();
        // Not even TERM would end it.
        scene.run(&worker, "trap '' TERM HUP INT; while :; do sleep 600; done");
    }
    assert!(matches!(clear_leftover(&path), Err(CgroupError::Alive { .. })), "the master lives");
    // The master crashes: nothing is dropped, but the kernel gives up its lock.
    fleet._lock.unlock().unwrap();
    std::mem::forget(fleet);

    assert!(clear_leftover(&path).unwrap() >= 3);
    assert!(!path.exists());
    assert_eq!(clear_leftover(&path).unwrap(), 0);
}

#[test]
fn the_end_of_a_fleet_is_the_end_of_all_in_it() {
    let mut scene = Scene::new();
    let mut fleet = scene.fleet();
    let worker = fleet.worker(Slot(0), Generation(0), Resources::default()).unwrap();
    scene.run(&worker, "trap '' TERM HUP INT; sleep 600 & while :; do sleep 600; done");
    let path = fleet.path().to_owned();
    drop((worker, fleet));
    assert!(!path.exists());
}

/// What a master that dies does: nothing is cleared.
fn abandon(fleet: FleetCgroup) {
    let FleetCgroup { _lock: lock, .. } = &fleet;
    let _ = lock.unlock();
    std::mem::forget(fleet);
}

#[test]
fn an_adopted_fleet_knows_its_workers_and_numbers_on() {
    let mut scene = Scene::new();
    let mut fleet = scene.fleet();
    let worker = fleet.worker(Slot(3), Generation(7), Resources::default()).unwrap();
    let pid = scene.run(&worker, "exec sleep 600");
    let (path, id, level) = (worker.path().to_owned(), worker.id(), fleet.worker_level());
    let fleet_path = fleet.path().to_owned();
    assert!(matches!(FleetCgroup::adopt(&scene.name, &fleet_path, level), Err(CgroupError::Alive { .. })));
    drop(worker);
    abandon(fleet);

    let other = "another".parse().unwrap();
    assert!(FleetCgroup::adopt(&other, &fleet_path, level).is_err());
    let mut adopted = FleetCgroup::adopt(&scene.name, &fleet_path, level).unwrap();

    assert_eq!((adopted.id(), adopted.worker_level()), (id_of(&fleet_path), level));
    fs::create_dir(fleet_path.join("somebody-elses")).unwrap();
    let workers = adopted.workers().unwrap();
    let ours: Vec<_> = workers.iter().filter(|worker| worker.owner().is_some()).collect();
    assert_eq!((workers.len(), ours.len()), (2, 1));
    assert_eq!((ours[0].owner(), ours[0].id()), (Some((Slot(3), Generation(7))), id));
    assert_eq!((ours[0].path(), ours[0].processes().unwrap()), (path.as_path(), vec![pid]));
    let next = adopted.worker(Slot(3), Generation(7), Resources::default()).unwrap();
    assert!(next.path().ends_with("w3.g7.1"), "{}", next.path().display());
}

/// A child of this process that has not become its program yet holds the descriptor too; what is cleared is locked once
/// and not again.
#[test]
fn a_copy_of_the_lock_keeps_nobody_from_clearing() {
    let mut scene = Scene::new();
    let mut fleet = scene.fleet();
    let worker = fleet.worker(Slot(0), Generation(1), Resources::default()).unwrap();
    scene.run(&worker, "exec sleep 600");
    let path = fleet.path().to_owned();
    drop(worker);
    abandon(fleet);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !stop.load(Relaxed) {
                let _ = process::Command::new("true").status();
            }
        });
        let ended = end_leftover(&path, Signal::SIGTERM, Duration::from_secs(60));
        stop.store(true, Relaxed);
        assert_eq!(ended.unwrap(), 1);
    });
}

#[test]
fn an_end_is_in_order_as_long_as_there_is_patience() {
    for (script, patience, killed) in [
        ("trap 'exit 7' TERM; while :; do sleep 0.01; done", Duration::from_secs(60), false),
        ("trap '' TERM; while :; do sleep 0.01; done", Duration::from_millis(100), true),
    ] {
        let mut scene = Scene::new();
        let mut fleet = scene.fleet();
        let worker = fleet.worker(Slot(0), Generation(1), Resources::default()).unwrap();
        let pid = scene.run(&worker, script);
        let path = fleet.path().to_owned();
        until("it has set its trap", || {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            let of = |kind: &str| status.lines().find_map(|line| line.strip_prefix(kind)).unwrap().trim().to_owned();
            let term = |mask: String| u64::from_str_radix(&mask, 16).unwrap() >> 14 & 1 == 1;
            term(of("SigIgn:")) || term(of("SigCgt:"))
        });
        drop(worker);
        abandon(fleet);

        assert!(end_leftover(&path, Signal::SIGTERM, patience).unwrap() > 0);

        assert!(!path.exists());
        let killed_by = WaitStatus::Signaled(pid, Signal::SIGKILL, false);
        let expected = if killed { killed_by } else { WaitStatus::Exited(pid, 7) };
        assert_eq!(waitpid(pid, None), Ok(expected));
        assert_eq!(end_leftover(&path, Signal::SIGTERM, patience).unwrap(), 0);
    }
}
