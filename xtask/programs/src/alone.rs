//! A program without llb: what its own end loses.

use std::{
    fs::{self, File},
    net::TcpStream,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    str::FromStr,
    thread,
    time::Duration,
};

use anyhow::{Result, ensure};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};

use llb_kit::clock::now;

use crate::{fleet::DRAIN, program::Program, provide::Installed, stage::Stage};

/// How long one copy may take to listen.
const PATIENCE: Duration = Duration::from_secs(60);

/// One copy; dropping it kills it and its children.
pub(crate) struct Alone {
    first: Child,
    dir: PathBuf,
    signal: Signal,
}

impl Alone {
    /// Starts one copy, and waits until it can be connected to.
    pub(crate) fn start(program: &Program, address: &str, installed: &Installed) -> Result<Self> {
        let Stage { dir, command } = Stage::lay(program, program.command, installed)?;
        let log = File::create(dir.join("alone.log"))?;
        let mut run = Command::new("sh");
        run.args(["-c", &format!("exec {command}")]).current_dir(&dir).process_group(0);
        run.env("STAGE", &dir).env("PORT", "8080").env("NODE_PATH", &installed.node_modules);
        run.env("LLB_SLOT", "0").env("LLB_GENERATION", "1");
        run.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut alone = Self { first: run.spawn()?, dir, signal: signal(program)? };
        let deadline = now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            let said = || fs::read_to_string(alone.dir.join("alone.log")).unwrap_or_default();
            ensure!(alone.first.try_wait()?.is_none(), "it ends when it is started without llb: {}", said());
            ensure!(now() < deadline, "it does not listen without llb");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(alone)
    }

    /// Asks it to end, as llb does, and waits as long as llb does.
    pub(crate) fn end(&mut self) -> Result<()> {
        kill(self.pid(), self.signal)?;
        let deadline = now() + DRAIN;
        while self.first.try_wait()?.is_none() && now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.first.id() as i32)
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        // Its group is left to kill as long as one of its processes lives.
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let _ = self.first.wait();
        // Some leave it (php-fpm), and stay where they were started.
        for pid in started_in(&self.dir) {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}

/// The processes that work in this directory, as long as it is there or was.
fn started_in(dir: &Path) -> Vec<Pid> {
    let is_there = |pid: &i32| {
        let place = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
        place.to_string_lossy().trim_end_matches(" (deleted)") == dir.to_string_lossy()
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(is_there).map(Pid::from_raw).collect()
}

fn signal(program: &Program) -> Result<Signal> {
    let given = program.flags.iter().skip_while(|flag| **flag != "--stop-signal").nth(1);
    Ok(Signal::from_str(&format!("SIG{}", given.unwrap_or(&"TERM")))?)
}
