//! `llb doctor` on machines that have what llb needs, and on such that lack something.

mod examination;

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use examination::{LLB, Ward, cgroup, doctor, end, place, until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

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
    let report: Value = serde_json::from_str(&ended.text).unwrap();
    assert_eq!(report["ok"], true);
    let checks = report["checks"].as_array().unwrap();
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
fn an_old_kernel_is_named_and_tried_all_the_same() {
    let place = place();
    // The kernel then says that it is 2.6.x.
    let ended = doctor(&place, &["setarch", "--uname-2.6"], Path::new(LLB), &[]);
    assert_eq!(ended.code, Some(3), "{}", ended.text);
    let lines = ended.lines("MISSING", "kernel");
    assert!(lines.contains("this kernel is 2.6.") && lines.contains("-> boot Linux 6.1 or newer"), "{lines}");
    ended.lines("ok", "migration");
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
    assert!(
        ended.lines("note", "other users").contains("CAP_SYS_PTRACE, CAP_KILL, CAP_SETUID, CAP_SETGID missing"),
        "{}",
        ended.text
    );
}

#[test]
fn an_interrupted_examination_leaves_nothing() {
    let place = place();
    // It may end on its own first, if this process does not run meanwhile: not every time.
    let interrupted = (0..5).any(|_| {
        let ward = at_work(place.path());
        kill(Pid::from_raw(ward.0.id().cast_signed()), Signal::SIGTERM).unwrap();
        end(ward).code == Some(1)
    });
    assert!(interrupted);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn what_a_killed_examination_leaves_the_next_one_removes() {
    let place = place();
    let mut ward = at_work(place.path());
    let left = cgroup(&ward);
    ward.0.kill().unwrap();
    ward.0.wait().unwrap();
    // Nobody kills its workers: they see that it is gone.
    until("the next examination can remove the cgroup", || {
        doctor(&place, &["env"], Path::new(LLB), &[]);
        !left.exists()
    });
}

/// An examination that has just begun.
fn at_work(place: &Path) -> Ward {
    let mut command = Command::new(LLB);
    command.arg("doctor").arg("--runtime-dir").arg(place.join("run"));
    let ward = Ward(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let cgroup = cgroup(&ward);
    until("it is at work", || cgroup.exists());
    ward
}
