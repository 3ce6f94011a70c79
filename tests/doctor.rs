//! `llb doctor` on machines that have what llb needs, and on such that lack something.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use llb::{fleet::fleet_path, sys::clock::now};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};
use serde_json::Value;
use tempfile::TempDir;

const LLB: &str = env!("CARGO_BIN_EXE_llb");

/// Far longer than an examination takes, also on a machine that has a bad minute.
const DEADLINE: Duration = Duration::from_secs(30);

/// Killed and waited for when the test ends, however it ends.
struct Ward(Child);

impl Drop for Ward {
    fn drop(&mut self) {
        // Both fail only for a child that has already been waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How an examination ended.
struct Ended {
    code: Option<i32>,
    text: String,
}

impl Ended {
    /// The line of a check, and the one below it.
    #[track_caller]
    fn lines(&self, outcome: &str, name: &str) -> String {
        let begins = |line: &&str| line.strip_prefix(outcome).is_some_and(|rest| rest.trim_start().starts_with(name));
        let at = self.text.lines().position(|line| begins(&line));
        let at = at.unwrap_or_else(|| panic!("no line {outcome:?} {name:?}:\n{}", self.text));
        self.text.lines().skip(at).take(2).collect::<Vec<_>>().join("\n")
    }
}

/// A place of its own, which everybody may read and root may write.
fn place() -> TempDir {
    assert!(geteuid().is_root(), "these tests load programs into the kernel: run them as root");
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    place
}

/// `command` becomes llb by exec alone, so that its pid is llb's.
fn doctor(place: &TempDir, command: &[&str], llb: &Path, more: &[&str]) -> Ended {
    let words: Vec<&str> = command.iter().copied().chain([llb.to_str().unwrap(), "doctor"]).collect();
    let runtime_dir = place.path().join("run/llb");
    let child = Command::new(words[0])
        .args(&words[1..])
        .args(more)
        .arg("--runtime-dir")
        .arg(&runtime_dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let ended = end(Ward(child));
    assert!(!place.path().join("run").exists(), "the runtime directory was left");
    ended
}

/// Waits for the end, and sees that nothing is left.
fn end(mut ward: Ward) -> Ended {
    let cgroup = cgroup(&ward);
    until("the doctor has ended", || ward.0.try_wait().unwrap().is_some());
    let code = ward.0.wait().unwrap().code();
    let text = std::io::read_to_string(ward.0.stdout.take().unwrap()).unwrap();
    // A cgroup that is removed had no process in it.
    assert!(!cgroup.exists(), "{} was left:\n{text}", cgroup.display());
    Ended { code, text }
}

fn cgroup(ward: &Ward) -> PathBuf {
    fleet_path(&format!("doctor-{}", ward.0.id()).parse().unwrap()).unwrap()
}

#[track_caller]
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = now().after(DEADLINE);
    while !condition() {
        assert!(now() < deadline, "waited {DEADLINE:?} in vain until {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn all_is_there_for_root() {
    let place = place();
    let ended = doctor(&place, &["env"], Path::new(LLB), &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    for line in ended.text.lines().filter(|line| !line.starts_with("All that llb needs is there.")) {
        assert!(line.starts_with("ok ") || line.starts_with("note "), "{}", ended.text);
    }
    ended.lines("ok", "llb_steer");
    ended.lines("ok", "selection     8 of 8 connections");
    ended.lines("ok", "migration     4 of 4 connections");
}

#[test]
fn programs_can_read_it() {
    let place = place();
    let ended = doctor(&place, &["env"], Path::new(LLB), &["--json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    let sheet: Value = serde_json::from_str(&ended.text).unwrap();
    assert_eq!(sheet["ok"], true);
    let checks = sheet["checks"].as_array().unwrap();
    assert!(checks.iter().all(|check| matches!(check["outcome"].as_str(), Some("ok" | "note"))), "{}", ended.text);
    for name in ["kernel", "rights", "cgroup v2", "llb_bind4", "pidfd_getfd", "migration", "runtime dir"] {
        assert!(checks.iter().any(|check| check["name"] == name), "{name}: {}", ended.text);
    }
}

#[test]
fn nobody_is_told_to_use_sudo() {
    let place = place();
    // Where cargo builds, nobody may not look.
    let llb = place.path().join("llb");
    fs::copy(LLB, &llb).unwrap();
    let nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let ended = doctor(&place, &nobody, &llb, &[]);
    assert_eq!(ended.code, Some(3), "{}", ended.text);
    let rights = ended.lines("MISSING", "rights");
    assert!(
        rights.contains("CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON") && rights.contains("-> run it with sudo"),
        "{rights}"
    );
    assert!(ended.lines("MISSING", "cgroup v2").contains("-> run llb as root"), "{}", ended.text);
    assert!(ended.lines("MISSING", "runtime dir").contains("--runtime-dir"), "{}", ended.text);
    assert!(ended.lines("skipped", "llb_steer").contains("not tried without: rights"), "{}", ended.text);

    let ended = doctor(&place, &nobody, &llb, &["--json"]);
    assert_eq!(ended.code, Some(3), "{}", ended.text);
    assert_eq!(serde_json::from_str::<Value>(&ended.text).unwrap()["ok"], false);
}

#[test]
fn a_machine_without_cgroup_v2_is_told_to_mount_it() {
    let place = place();
    let without = ["unshare", "--mount", "sh", "-c", "umount -a -l -t cgroup2 && exec \"$0\" \"$@\""];
    let ended = doctor(&place, &without, Path::new(LLB), &[]);
    assert_eq!(ended.code, Some(3), "{}", ended.text);
    let lines = ended.lines("MISSING", "cgroup v2");
    assert!(lines.contains("mounted nowhere") && lines.contains("-> mount it: mkdir"), "{lines}");
    ended.lines("ok", "llb_steer");
    assert!(ended.lines("skipped", "attach").contains("not tried without: cgroup v2"), "{}", ended.text);
}

#[test]
fn rights_that_root_lacks_are_named() {
    let place = place();
    let drop = ["setpriv", "--bounding-set", "-bpf,-sys_admin"];
    let ended = doctor(&place, &drop, Path::new(LLB), &[]);
    assert_eq!(ended.code, Some(3), "{}", ended.text);
    let rights = ended.lines("MISSING", "rights");
    assert!(rights.contains("llb lacks CAP_BPF\n") && rights.contains("-> give llb these capabilities"), "{rights}");
    ended.lines("ok", "cgroup v2");
}

#[test]
fn the_rights_that_are_asked_for_are_enough() {
    let place = place();
    // The cgroup's and the runtime directory are root's own here: CAP_DAC_OVERRIDE is for what is not.
    let few = ["setpriv", "--bounding-set", "-all,+bpf,+net_admin,+perfmon,+dac_override"];
    let ended = doctor(&place, &few, Path::new(LLB), &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    assert!(ended.lines("note", "other users").contains("CAP_SYS_PTRACE is missing"), "{}", ended.text);
}

#[test]
fn an_interrupted_examination_leaves_nothing() {
    let place = place();
    // It may end on its own first, if this process does not run meanwhile: not every time.
    let interrupted = (0..5).any(|_| {
        let mut command = Command::new(LLB);
        command.arg("doctor").arg("--runtime-dir").arg(place.path().join("run"));
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (pid, ward) = (Pid::from_raw(child.id().cast_signed()), Ward(child));
        let workers = cgroup(&ward);
        until("it is at work", || workers.exists());
        kill(pid, Signal::SIGTERM).unwrap();
        end(ward).code == Some(1)
    });
    assert!(interrupted);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}
