//! How much of the machine a worker may take: `--memory-max` and `--cpu-max`.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process,
};

use crate::harness::{Launcher, Stage, get, stage::fixture, until};
use llb::internals::mounts::cgroup_root;

const ADDRESS: &str = "127.0.0.1:8080";

/// A cgroup that llb's cgroups are in, and beside them llb.
struct Home(PathBuf);

impl Home {
    fn new(name: &str) -> Self {
        let home = Home(cgroup_root().expect("cgroup v2").join(format!("limits-{name}-{}", process::id())));
        fs::create_dir_all(home.master()).expect("root");
        home
    }

    fn master(&self) -> PathBuf {
        self.0.join("llb-master")
    }

    /// Starts llb in this cgroup, which is the home or in it.
    fn launcher(&self, enter: &Path) -> Launcher {
        let enter = format!("echo 0 > {}/cgroup.procs && exec \"$@\"", enter.display());
        Launcher {
            wrapper: ["sh", "-c", &enter, "sh"].map(str::to_owned).to_vec(),
            cgroup: Some(self.0.clone()),
            ..Launcher::default()
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // The fleet has ended, or the harness has cleared it.
        let _ = fs::remove_dir(self.master());
        let _ = fs::remove_dir(&self.0);
    }
}

/// Whether cgroups of version 2 have the controller on this machine. Where a hierarchy of version 1 has it they do not.
fn has(controller: &str) -> bool {
    let controllers = fs::read_to_string(cgroup_root().expect("cgroup v2").join("cgroup.subtree_control"));
    controllers.expect("a root cgroup").split_whitespace().any(|name| name == controller)
}

fn growing() -> [String; 4] {
    ["python3".into(), fixture("growing.py"), "127.0.0.1".into(), "8080".into()]
}

/// Whether the kernel can keep limits of memory. Where it cannot llb must not run as if it did.
fn are_kept(by: &Launcher, limits: &[&str]) -> bool {
    if has("memory") {
        return true;
    }
    let said = refusal(by, limits);
    let way_out = ["--memory-max needs the memory controller", "cgroup.subtree_control", "unified_cgroup_hierarchy"];
    assert!(way_out.iter().all(|part| said.contains(part)), "{said}");
    false
}

/// What a fleet says that cannot keep its limits, and so does not start.
fn refusal(by: &Launcher, limits: &[&str]) -> String {
    let stage = Stage::new();
    let command = growing();
    let args = [&["-p", "8080", "-n", "1"], limits].concat();
    let fleet = crate::harness::Fleet::launch_by(by, stage.path(), &args, &command.each_ref().map(String::as_str));
    let ended = fleet.wait();
    assert_eq!((ended.code, ended.signal), (Some(3), None), "{}", ended.stderr);
    ended.stderr
}

#[test]
fn a_worker_beyond_its_memory_is_replaced() {
    let home = Home::new("kept");
    let by = home.launcher(&home.master());
    let limits = ["--memory-max", "48M", "--cpu-max", "0.5"];
    if !are_kept(&by, &limits) {
        return;
    }
    let stage = Stage::new();
    let command = growing();
    let args = [&["-p", "8080", "-n", "2", "--respawn", "50ms"], &limits[..]].concat();
    let mut fleet = stage.start_by(&by, &args, &command.each_ref().map(String::as_str));
    fleet.wait_for_groups(&[ADDRESS], 2);
    let is_worker = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with("w");
    for worker in fs::read_dir(fleet.cgroup()).expect("its cgroup").flatten().filter(is_worker) {
        let read = |file: &str| fs::read_to_string(worker.path().join(file)).expect("a limit");
        assert_eq!((read("memory.max"), read("cpu.max")), ("50331648\n".into(), "50000 100000\n".into()));
    }

    let mut client = TcpStream::connect(ADDRESS).expect("a fleet");
    client.write_all(b"GET /grow HTTP/1.1\r\n\r\n").expect("a worker");
    // Its worker is killed in the midst of it.
    let _ = client.read_to_end(&mut Vec::new());
    until("it is replaced", || fleet.status().slots.iter().map(|slot| slot.restarts).sum::<u32>() == 1);
    let how: Vec<String> = fleet.status().slots.into_iter().filter_map(|slot| slot.last_exit).collect();
    assert!(how.len() == 1 && how[0].contains("SIGKILL") && how[0].contains("no memory"), "{how:?}");
    until("all serve", || fleet.status().workers.iter().filter(|worker| worker.state == "serving").count() == 2);

    // The next master keeps them as well.
    fleet.kill_master();
    fleet.take_over(&args, &command.each_ref().map(String::as_str));
    assert!(fleet.command("reload").status().expect("the llb binary").success());
    assert_eq!(get(ADDRESS, "/").status, 200);
}

#[test]
fn a_worker_too_big_to_start_is_explained() {
    let home = Home::new("big");
    let by = home.launcher(&home.master());
    if !are_kept(&by, &["--memory-max", "48M"]) {
        return;
    }
    let stage = Stage::new();
    let command = ["python3", "-c", "bytearray(b'x' * (1 << 28))"];
    let args = ["-p", "8080", "-n", "1", "--memory-max", "48M"];
    let fleet = crate::harness::Fleet::launch_by(&by, stage.path(), &args, &command);
    let ended = fleet.wait();
    assert_eq!((ended.code, ended.signal), (Some(4), None), "{}", ended.stderr);
    let told = ["SIGKILL before it was ready", "give it more by --memory-max"];
    assert!(told.iter().all(|part| ended.stderr.contains(part)), "{}", ended.stderr);
}

#[test]
fn a_limit_that_cannot_be_kept_is_refused() {
    let home = Home::new("occupied");
    // llb is where only cgroups may be.
    let said = refusal(&home.launcher(&home.0), &["--cpu-max", "2"]);
    let way_out = if has("cpu") { "DelegateSubgroup=llb-master" } else { "--cpu-max needs the cpu controller" };
    assert!(said.contains(way_out), "{said}");
}
