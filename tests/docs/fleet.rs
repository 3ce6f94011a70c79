//! A fleet that the documentation tells how to start.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use llb_kit::http::get;
use nix::{
    sched::{CloneFlags, unshare},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;

pub(super) const LLB: &str = env!("CARGO_BIN_EXE_llb");

/// Far above what anything here takes, so that a slow machine fails nothing: 30 s.
const LOOKS: u32 = 600;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// A server for the commands that name one.
const SERVER_JS: &str = "require('http').createServer((q, s) => s.end('hello\\n')).listen(8080)";

/// Where a block runs: a network namespace, which this thread and all that it starts is in, and a directory with
/// `sudo` and an `llb` that is of no other fleet's name.
pub(super) struct Stage {
    directory: TempDir,
    name: String,
}

impl Stage {
    pub(super) fn new() -> Self {
        // A fleet's name is its cgroup's too, so no two that run at once may have the same.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace; the test needs root");
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().expect("ip, of iproute2");
        assert!(up.success());
        let stage = Stage { directory: TempDir::new().unwrap(), name: format!("docs-{}-{number}", std::process::id()) };
        let fleet = format!("--name {} --runtime-dir {}", stage.name, stage.path("run").display());
        let llb = format!(
            "case $1 in run|status|top|curl|why|events|reload|scale|drain|restart|stop) c=$1; shift; exec '{LLB}' $c {fleet} \"$@\";; esac\nexec '{LLB}' \"$@\""
        );
        stage.program("llb", &llb);
        stage.program("sudo", "exec \"$@\"");
        fs::write(stage.path("server.js"), SERVER_JS).unwrap();
        stage
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn program(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(super) fn shell(&self, text: &str) -> Command {
        let path = std::env::var("PATH").unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-eu", "-c", text]).env("PATH", format!("{}:{path}", self.directory.path().display()));
        shell.current_dir(self.directory.path()).stdin(Stdio::null());
        shell
    }

    pub(super) fn status(&self) -> Option<Value> {
        let output = self.shell("llb status --json").output().unwrap();
        serde_json::from_slice(&output.stdout).ok()
    }

    /// Starts a fleet and waits until it is up.
    pub(super) fn fleet(&self, command: &str) -> Fleet<'_> {
        let log = fs::File::create(self.path("log")).unwrap();
        let mut shell = self.shell(&format!("exec {}", command.trim()));
        let master = shell.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let mut fleet = Fleet { stage: self, master };
        fleet.until("it is up", |status| status["up"] == true);
        fleet
    }
}

/// A running fleet; killed, workers and all, if it has not been stopped.
pub(super) struct Fleet<'a> {
    stage: &'a Stage,
    master: Child,
}

impl Fleet<'_> {
    pub(super) fn until(&mut self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..LOOKS {
            if let Some(status) = self.stage.status().filter(&holds) {
                return status;
            }
            assert!(self.master.try_wait().unwrap().is_none(), "it has ended: {}", self.log());
            thread::sleep(BETWEEN_LOOKS);
        }
        panic!("not within 30 s: {what}; {:#?}\n{}", self.stage.status(), self.log());
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.stage.path("log")).unwrap()
    }

    /// Eight requests, one after the other.
    pub(super) fn ask(&self) {
        for _ in 0..8 {
            assert_eq!(get("127.0.0.1:8080", "/").status, 200);
        }
    }

    pub(super) fn kill(mut self) {
        self.master.kill().unwrap();
        self.master.wait().unwrap();
    }

    pub(super) fn stop(mut self) {
        kill(Pid::from_raw(self.master.id().cast_signed()), Signal::SIGTERM).unwrap();
        let status = wait(&mut self.master);
        assert!(status.success(), "{status}: {}", self.log());
    }
}

impl Drop for Fleet<'_> {
    fn drop(&mut self) {
        if self.master.try_wait().is_ok_and(|ended| ended.is_some()) {
            return;
        }
        let pid = Pid::from_raw(self.master.id().cast_signed());
        // Twice is at once.
        for _ in 0..2 {
            let _ = kill(pid, Signal::SIGTERM);
            thread::sleep(BETWEEN_LOOKS);
        }
        let _ = self.master.wait();
    }
}

pub(super) fn wait(child: &mut Child) -> ExitStatus {
    for _ in 0..LOOKS {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        thread::sleep(BETWEEN_LOOKS);
    }
    let _ = child.kill();
    panic!("did not end within 30 s");
}
