//! Who workers are and what they may do; what llb needs, and what it keeps of that.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::harness::{
    Fleet, Launcher, Stage, Tally,
    fleet::LLB,
    get,
    identity::identities,
    proc::{SETS, mask_of, open_files, status, threads, variable},
    until,
};
use llb::internals::mounts::own_cgroup;
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::signal::{Signal, kill},
    unistd::{Pid, getpgid, getsid},
};

const ADDR: &str = "127.0.0.1:8080";

/// A user without any rights, who is in every database.
const NOBODY: u32 = 65534;

/// A user that is in no database.
const UNKNOWN_USER: &str = "61234";

/// What loading and attaching takes.
const TO_LOAD: [&str; 3] = ["bpf", "net_admin", "perfmon"];

/// What other users' workers take beside that.
const FOR_OTHERS: [&str; 3] = ["sys_ptrace", "dac_read_search", "kill"];
/// Where workers do, on any port.
const TO_LISTEN: [&str; 1] = ["net_bind_service"];
const FOR_USER: [&str; 2] = ["setuid", "setgid"];

fn pid(fleet: &Fleet, slot: u32) -> Pid {
    Pid::from_raw(fleet.worker(slot).pid.cast_signed())
}

/// A worker that others than root can run.
const SERVER: [&str; 3] = ["sh", "-c", "exec python3 $STAGE/report.py 127.0.0.1 8080"];

fn stage() -> Stage {
    let stage = Stage::new();
    stage.open_to_all();
    stage
}

/// Asserts that connections are steered to all workers of a fleet that goes by turns.
#[track_caller]
fn assert_steered(fleet: &Fleet) {
    fleet.wait_for_groups(&[ADDR], 2);
    let mut tally = Tally::default();
    tally.ask(ADDR, "/", 8);
    tally.assert_steered(&fleet.status());
    assert_eq!((tally.of(0), tally.of(1)), (4, 4));
}

/// Kills a worker, and waits for the one that replaces it to be steered.
#[track_caller]
fn replace(fleet: &Fleet, slot: u32) -> Pid {
    let old = pid(fleet, slot);
    kill(old, Signal::SIGKILL).unwrap();
    until("it is replaced and steered", || {
        let status = fleet.status();
        let of_slot: Vec<_> = status.workers.iter().filter(|worker| worker.slot == slot).collect();
        of_slot.len() == 1
            && of_slot[0].pid != old.as_raw().unsigned_abs()
            && status.groups.iter().any(|group| group.slots.contains(&slot))
    });
    let before = fleet.worker(slot).chosen;
    until("it is chosen", || {
        get(ADDR, "/");
        fleet.worker(slot).chosen > before
    });
    pid(fleet, slot)
}

/// Reloads, and waits for the new generation to be alone.
#[track_caller]
fn reload(fleet: &Fleet) {
    let newest = || fleet.status().workers.iter().map(|worker| worker.generation).max().unwrap_or(0);
    let before = newest();
    fleet.signal(Signal::SIGHUP);
    until("a new generation serves", || {
        let workers = fleet.status().workers;
        workers.len() == 2 && workers.iter().all(|worker| worker.generation > before && worker.state == "serving")
    });
}

#[track_caller]
fn assert_without_rights(worker: Pid) {
    for thread in threads(worker) {
        for set in SETS {
            assert_eq!(thread.mask(set), 0, "{set}");
        }
    }
}

/// What the master keeps of root's rights where the tests run: in the root of the cgroups only `dac_override` lets it
/// make and remove any, and `sys_admin` unmounts what llb has mounted for its pins, if the system has mounted nothing.
fn kept_of_root(kept: &[&str]) -> u64 {
    let mode = fs::metadata(own_cgroup().unwrap().path).unwrap().permissions().mode();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let closed = if mode & 0o200 == 0 { mask_of(&["dac_override"]) } else { 0 };
    let unmounts = if mounts.contains(" /sys/fs/bpf bpf ") { 0 } else { mask_of(&["sys_admin"]) };
    mask_of(kept) | closed | unmounts
}

/// Asserts that no thread of the master has more than `kept`, and that the first has all of it.
#[track_caller]
fn assert_keeps(master: Pid, kept: u64) {
    let main = status(master);
    assert_eq!((main.mask("CapEff"), main.mask("CapPrm")), (kept, kept), "{main:?}");
    for thread in threads(master) {
        assert_eq!(thread.mask("CapPrm") & !kept, 0, "{thread:?}");
        assert_eq!((thread.mask("CapInh"), thread.mask("CapAmb")), (0, 0), "{thread:?}");
    }
}

#[test]
fn workers_run_as_the_user_that_is_named_and_without_rights() {
    let stage = stage();
    let fleet = stage.start(&["-n", "2", "--policy", "round-robin", "--user", "nobody"], &SERVER);
    assert_steered(&fleet);
    replace(&fleet, 0);
    for worker in [pid(&fleet, 0), pid(&fleet, 1)] {
        let status = status(worker);
        assert_eq!(status.field("Uid"), "65534 65534 65534 65534");
        let gid = fs::metadata(format!("/proc/{worker}")).unwrap().gid();
        assert_ne!(gid, 0);
        assert_eq!(status.field("Gid"), format!("{gid} {gid} {gid} {gid}"));
        assert_eq!(status.field("Groups"), gid.to_string());
        assert_without_rights(worker);
        assert_eq!(variable(worker, "USER").as_deref(), Some("nobody"));
        assert_eq!(variable(worker, "LOGNAME").as_deref(), Some("nobody"));
        assert_ne!(variable(worker, "HOME").as_deref(), Some("/root"));
    }
    let directory = fs::metadata(fleet.runtime_dir().join(fleet.name())).unwrap();
    assert_eq!((directory.uid(), directory.mode() & 0o777), (0, 0o700));

    // The channel is theirs all the same.
    assert_eq!(stage.tell(1, r#"say 1 {"cmd":"latency","us":1000}"#), "ok");
    until("the report has come", || fleet.worker(1).reports.get("latency") == Some(&1));
    let ended = fleet.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!ended.stderr.contains("did not end in time"), "{}", ended.stderr);
}

#[test]
fn a_user_and_a_group_may_be_numbers_that_nobody_knows() {
    let stage = stage();
    let fleet = stage.start(&["-n", "1", "--user", UNKNOWN_USER, "--group", "61235"], &SERVER);
    let worker = pid(&fleet, 0);
    let status = status(worker);
    assert_eq!(status.field("Uid"), "61234 61234 61234 61234");
    assert_eq!((status.field("Gid"), status.field("Groups")), ("61235 61235 61235 61235".into(), "61235".into()));
    for name in ["HOME", "USER", "LOGNAME", "SHELL"] {
        assert_eq!(variable(worker, name), None, "{name} would be that of llb's own user");
    }
    assert_eq!(get(ADDR, "/").slot(), 0);
}

#[test]
fn a_group_alone_leaves_the_user() {
    let stage = stage();
    let fleet = stage.start(&["-n", "1", "--group", "61235"], &SERVER);
    let status = status(pid(&fleet, 0));
    assert_eq!(status.field("Uid"), "0 0 0 0");
    assert_eq!((status.field("Gid"), status.field("Groups")), ("61235 61235 61235 61235".into(), "61235".into()));
}

/// Runs `llb run` to its end.
fn refused(wrapper: &[&str], args: &[&str]) -> (Option<i32>, String) {
    let words = [wrapper, &[LLB, "run"], args, &["--", "true"]].concat();
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_user_or_group_that_is_not_there_is_a_wrong_command_line() {
    let (code, error) = refused(&[], &["--user", "no-such-user"]);
    assert_eq!((code, error.contains("there is no user \"no-such-user\"")), (Some(2), true), "{error}");
    let (code, error) = refused(&[], &["--group", "no-such-group"]);
    assert_eq!((code, error.contains("there is no group \"no-such-group\"")), (Some(2), true), "{error}");
    let (code, error) = refused(&[], &["--user", UNKNOWN_USER]);
    assert_eq!((code, error.contains("name one with --group")), (Some(2), true), "{error}");
}

#[test]
fn each_right_that_is_missing_is_named() {
    for name in TO_LOAD {
        let set = format!("-{name},-sys_admin");
        let (code, error) = refused(&["setpriv", "--bounding-set", &set], &[]);
        let named = format!("it lacks CAP_{}:", name.to_uppercase());
        assert_eq!((code, error.contains(&named)), (Some(3), true), "{error}");
    }
    for name in FOR_OTHERS.iter().chain(&FOR_USER) {
        let set = format!("-{name},-dac_override");
        let (code, error) = refused(&["setpriv", "--bounding-set", &set], &["--user", "nobody"]);
        let named = format!("llb lacks CAP_{} to run workers as another user", name.to_uppercase());
        assert_eq!((code, error.contains(&named)), (Some(3), true), "{error}");
    }
}

#[test]
fn a_user_that_may_not_run_the_program_is_named() {
    let stage = Stage::new();
    let private = stage.write("private/server", "#!/bin/sh\n");
    fs::set_permissions(&private, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(private.parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();
    let ended = stage.launch(&["-n", "1", "--user", "nobody"], &[private.to_str().unwrap()]).wait();
    assert_eq!(ended.code, Some(126), "{}", ended.stderr);
    assert!(ended.stderr.contains("may not be run by user nobody"), "{}", ended.stderr);
}

#[test]
fn the_master_keeps_what_it_needs_and_nothing_else() {
    let stage = stage();
    // With that much to say its log is at work before the rights are given up.
    let fleet = stage.start(&["-n", "2", "--policy", "round-robin", "--log", "debug"], &SERVER);
    let kept = kept_of_root(&[&FOR_OTHERS[..], &TO_LISTEN].concat());
    assert_keeps(fleet.pid(), kept);
    let whole = status(Pid::this()).mask("CapBnd");
    assert_eq!(status(pid(&fleet, 0)).mask("CapEff"), whole, "root's workers are what they were without llb");
    assert_steered(&fleet);
    replace(&fleet, 1);
    reload(&fleet);
    replace(&fleet, 0);
    assert_keeps(fleet.pid(), kept);
}

#[test]
fn the_master_of_a_named_user_can_still_become_that_user() {
    let stage = stage();
    let fleet = stage.start(&["-n", "2", "--policy", "round-robin", "--user", "nobody"], &SERVER);
    let kept = kept_of_root(&[&FOR_OTHERS[..], &FOR_USER, &TO_LISTEN].concat());
    assert_keeps(fleet.pid(), kept);
    replace(&fleet, 1);
    reload(&fleet);
    replace(&fleet, 0);
    assert_keeps(fleet.pid(), kept);
}

#[test]
fn without_cap_sys_ptrace_root_keeps_what_its_workers_have() {
    let stage = stage();
    let wrapper = ["setpriv", "--bounding-set", "-sys_ptrace"].map(String::from).to_vec();
    let by = Launcher { wrapper, ..Launcher::default() };
    let fleet = stage.start_by(&by, &["-n", "2", "--policy", "round-robin"], &SERVER);
    assert_steered(&fleet);
    replace(&fleet, 1);
}

/// A cgroup of its own, as a unit with `Delegate=yes` gets one.
struct Delegated(PathBuf);

impl Delegated {
    fn to(user: u32) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = own_cgroup().unwrap().path.join(format!("delegated-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        for name in ["", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
            chown(path.join(name), Some(user), Some(user)).unwrap();
        }
        Delegated(path)
    }

    /// llb as [`NOBODY`] in this cgroup, with these capabilities.
    fn launcher(&self, stage: &Stage, capabilities: &[&str]) -> Launcher {
        let binary = stage.path().join("llb");
        fs::copy(LLB, &binary).unwrap();
        let sets: String = capabilities.iter().map(|name| format!(",+{name}")).collect();
        let user = ["--reuid", "65534", "--regid", "65534", "--clear-groups"].map(String::from).to_vec();
        let inherited =
            ["--inh-caps".to_owned(), format!("-all{sets}"), "--ambient-caps".to_owned(), format!("-all{sets}")];
        let wrapper = self.entered_by("setpriv").into_iter().chain(user).chain(inherited).collect();
        let cgroup = Some(self.0.clone());
        Launcher { wrapper, binary: Some(binary), cgroup, owner: Some(NOBODY), ..Launcher::default() }
    }

    /// A command that enters this cgroup and becomes `command`.
    fn entered_by(&self, command: &str) -> Vec<String> {
        let enter = format!("echo 0 > {}/cgroup.procs && exec \"$@\"", self.0.display());
        ["sh", "-c", &enter, "sh", command].map(String::from).into()
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        // Its fleet has ended, or the harness has cleared it.
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn nobody_with_three_capabilities_in_a_delegated_cgroup_is_enough() {
    let stage = stage();
    let delegated = Delegated::to(NOBODY);
    let by = delegated.launcher(&stage, &TO_LOAD);
    let fleet = stage.start_by(&by, &["-n", "2", "--policy", "round-robin"], &SERVER);
    assert_steered(&fleet);
    assert_keeps(fleet.pid(), 0);
    reload(&fleet);
    for worker in [pid(&fleet, 0), replace(&fleet, 1)] {
        assert_eq!(status(worker).field("Uid"), "65534 65534 65534 65534");
        assert_without_rights(worker);
    }
    assert_eq!(fleet.stop().code, Some(0));
}

/// Leads the calling thread to where `/sys/fs/bpf` is as systemd mounts it: root's alone.
fn with_bpffs_of_systemd() {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
    mount(Some("bpf"), "/sys/fs/bpf", Some("bpf"), MsFlags::empty(), Some("mode=0700")).unwrap();
}

#[test]
fn nobody_takes_over_what_its_crashed_llb_has_left() {
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/../dist/llb-unprivileged.service");
    let unit = fs::read_to_string(unit).unwrap();
    let root_does = unit.lines().find_map(|line| line.strip_prefix("ExecStartPre=+/bin/sh -c ")).unwrap();
    let root_does = root_does.trim_matches('\'').replace("$$", "$").replace("web", "nobody");
    let prepare = || assert!(Command::new("sh").args(["-c", &root_does]).status().unwrap().success());

    let stage = stage();
    with_bpffs_of_systemd();
    let delegated = Delegated::to(NOBODY);
    let by = delegated.launcher(&stage, &TO_LOAD);
    let args = ["-n", "2", "--policy", "round-robin"];
    prepare();
    let mut fleet = stage.start_by(&by, &args, &SERVER);
    assert_steered(&fleet);
    let before = identities(&fleet.status());
    fleet.kill_master();
    get(ADDR, "/").slot();
    prepare();
    fleet.take_over(&args, &SERVER);
    assert_eq!(identities(&fleet.status()), before);
    assert!(fleet.stderr().contains("took over 2 workers"), "{}", fleet.stderr());
    fleet.wait_for_groups(&[ADDR], 2);
    replace(&fleet, 1);
    assert_eq!(fleet.stop().code, Some(0));
}

#[test]
fn nobody_can_run_workers_of_a_third_user() {
    let stage = stage();
    let delegated = Delegated::to(NOBODY);
    let all = [&TO_LOAD[..], &FOR_OTHERS, &FOR_USER].concat();
    let by = delegated.launcher(&stage, &all);
    let user = ["-n", "2", "--policy", "round-robin", "--user", UNKNOWN_USER, "--group", UNKNOWN_USER];
    let fleet = stage.start_by(&by, &user, &SERVER);
    assert_steered(&fleet);
    assert_keeps(fleet.pid(), mask_of(&FOR_OTHERS) | mask_of(&FOR_USER));
    reload(&fleet);
    for worker in [pid(&fleet, 0), replace(&fleet, 1)] {
        assert_eq!(status(worker).field("Uid"), "61234 61234 61234 61234");
        assert_without_rights(worker);
    }
    let ended = fleet.stop();
    assert_eq!(ended.code, Some(0));
    assert!(!ended.stderr.contains("did not end in time"), "{}", ended.stderr);
}

#[test]
fn the_units_capabilities_are_enough() {
    let unit = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../dist/llb.service")).unwrap();
    let lines = unit.lines().filter_map(|line| line.strip_prefix("CapabilityBoundingSet="));
    let names: Vec<String> = lines.flat_map(str::split_whitespace).map(str::to_lowercase).collect();
    let set: String = names.iter().map(|name| format!(",+{}", name.strip_prefix("cap_").unwrap())).collect();
    let stage = stage();
    // A unit's cgroup is root's own.
    let cgroup = Delegated::to(0);
    let wrapper = [cgroup.entered_by("setpriv"), vec!["--bounding-set".into(), format!("-all{set}")]].concat();
    let by = Launcher { wrapper, cgroup: Some(cgroup.0.clone()), ..Launcher::default() };
    let fleet = stage.start_by(&by, &["-n", "2", "--policy", "round-robin", "--user", "nobody"], &SERVER);
    assert_steered(&fleet);
    reload(&fleet);
    replace(&fleet, 1);
    assert_keeps(fleet.pid(), mask_of(&[&FOR_OTHERS[..], &FOR_USER, &TO_LISTEN].concat()));
    assert_eq!(fleet.stop().code, Some(0));
}

/// What a worker was born with, and nothing of what llb or its siblings have.
#[track_caller]
fn assert_own_things_only(fleet: &Fleet, worker: Pid) {
    // Until exec the child has more open; the program opens nothing that lasts.
    until("only its own descriptors are open", || open_files(worker).keys().eq([0, 1, 2, 3].iter()));
    let open = open_files(worker);
    assert_eq!((open[&0].as_str(), open[&3].as_str()), ("/dev/null", "socket"));
    assert_eq!(
        (getpgid(Some(worker)).unwrap(), getsid(Some(worker)).unwrap()),
        (worker, getsid(Some(fleet.pid())).unwrap())
    );
    let status = status(worker);
    // Signals 32 and 33 are libc's own.
    assert_eq!((status.mask("SigBlk"), status.mask("SigIgn") & !(0b11 << 31)), (0, 0));
    assert_eq!((status.mask("CapInh"), status.mask("CapAmb")), (0, 0));
    let cgroup = fs::read_to_string(format!("/proc/{worker}/cgroup")).unwrap();
    let own = Path::new(cgroup.lines().find_map(|line| line.strip_prefix("0::")).unwrap().trim_end()).to_owned();
    let directory = fleet.cgroup().join(own.file_name().unwrap());
    let members = fs::read_to_string(directory.join("cgroup.procs")).unwrap();
    assert_eq!(members.trim_end(), worker.to_string(), "it is alone there");
}

#[test]
fn a_worker_has_its_own_things_only_also_after_a_crash_and_a_reload() {
    let stage = stage();
    // `sleep` listens on nothing, and opens nothing.
    let fleet = stage.launch(&["-n", "2", "--ready-when", "started", "--respawn", "100ms"], &["sleep", "600"]);
    fleet.wait_until_serving();
    let workers = [pid(&fleet, 0), pid(&fleet, 1)];
    for worker in workers {
        assert_own_things_only(&fleet, worker);
    }
    kill(workers[0], Signal::SIGKILL).unwrap();
    let replaced = || {
        let workers_of = |slot| fleet.status().workers.into_iter().filter(move |worker| worker.slot == slot);
        let pids: Vec<u32> = workers_of(0).map(|worker| worker.pid).collect();
        (pids.len() == 1 && pids[0] != 0).then(|| Pid::from_raw(pids[0].cast_signed())).filter(|pid| *pid != workers[0])
    };
    until("it is replaced", || replaced().is_some());
    assert_own_things_only(&fleet, replaced().unwrap());
    reload(&fleet);
    for slot in 0..2 {
        assert_own_things_only(&fleet, pid(&fleet, slot));
    }
}
