//! Runs `llb doctor` and sees that it leaves nothing.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use llb::{internals::fleet_path, now};
use nix::unistd::geteuid;
use tempfile::TempDir;

pub(crate) const LLB: &str = env!("CARGO_BIN_EXE_llb");

/// Far longer than an examination takes, also on a machine that has a bad minute.
const DEADLINE: Duration = Duration::from_secs(30);

/// Killed and waited for when the test ends, however it ends.
pub(crate) struct Ward(pub(crate) Child);

impl Drop for Ward {
    fn drop(&mut self) {
        // Both fail only for a child that has already been waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How an examination ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) text: String,
}

impl Ended {
    /// The line of a check, and the one below it.
    #[track_caller]
    pub(crate) fn lines(&self, outcome: &str, name: &str) -> String {
        let begins = |line: &&str| line.strip_prefix(outcome).is_some_and(|rest| rest.trim_start().starts_with(name));
        let at = self.text.lines().position(|line| begins(&line));
        let at = at.unwrap_or_else(|| panic!("no line {outcome:?} {name:?}:\n{}", self.text));
        self.text.lines().skip(at).take(2).collect::<Vec<_>>().join("\n")
    }
}

/// A place of its own, which everybody may read and root may write.
pub(crate) fn place() -> TempDir {
    assert!(geteuid().is_root(), "these tests load programs into the kernel: run them as root");
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    place
}

/// `command` becomes llb by exec alone, so that its pid is llb's.
pub(crate) fn doctor(place: &TempDir, command: &[&str], llb: &Path, more: &[&str]) -> Ended {
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
pub(crate) fn end(mut ward: Ward) -> Ended {
    let cgroup = cgroup(&ward);
    until("the doctor has ended", || ward.0.try_wait().unwrap().is_some());
    let code = ward.0.wait().unwrap().code();
    let text = std::io::read_to_string(ward.0.stdout.take().unwrap()).unwrap();
    // A cgroup that is removed had no process in it.
    assert!(!cgroup.exists(), "{} was left:\n{text}", cgroup.display());
    Ended { code, text }
}

pub(crate) fn cgroup(ward: &Ward) -> PathBuf {
    fleet_path(&format!("doctor-{}", ward.0.id()).parse().unwrap()).unwrap()
}

#[track_caller]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = now().after(DEADLINE);
    while !condition() {
        assert!(now() < deadline, "waited {DEADLINE:?} in vain until {what}");
        thread::sleep(Duration::from_millis(1));
    }
}
