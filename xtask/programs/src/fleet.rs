//! A fleet of one program, run by the real llb.

use std::{
    fs,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use llb_kit::clock::now;

use crate::{program::Program, provide::Installed, stage::Stage};

/// How long a program may take to serve, and a command to be over.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long its workers have to finish.
pub(crate) const DRAIN: Duration = Duration::from_secs(8);

/// A running `llb run`; dropping it ends it.
pub(crate) struct Fleet {
    llb: PathBuf,
    name: String,
    stage: PathBuf,
    master: Child,
}

impl Fleet {
    /// Starts four copies of a program by this command, and waits until they serve.
    pub(crate) fn start(program: &Program, command: &str, installed: &Installed, llb: &Path) -> Result<Self> {
        let Stage { dir: stage, command } = Stage::lay(program, command, installed)?;
        let log = File::create(stage.join("llb.log"))?;
        let name = format!("{}-{}", program.slug(), std::process::id());
        let mut run = Command::new(llb);
        run.args(["run", "--name", &name, "--runtime-dir"]).arg(stage.join("run"));
        run.args(["-n", "4", "-p", "8080", "--drain-timeout", &format!("{}s", DRAIN.as_secs())]);
        run.args(program.flags).args(["--", "sh", "-c", &format!("exec {command}")]);
        run.current_dir(&stage).env("STAGE", &stage).env("PORT", "8080").env("NODE_PATH", &installed.node_modules);
        run.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let master = run.spawn().with_context(|| format!("cannot start {}", llb.display()))?;
        let mut fleet = Fleet { llb: llb.to_owned(), name, stage, master };
        let deadline = now() + PATIENCE;
        while !fleet.status().is_ok_and(|status| status["up"] == true) {
            let ended = fleet.master.try_wait()?;
            if ended.is_some() || now() > deadline {
                bail!("it does not come up ({ended:?}): {}", fleet.last_words());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(fleet)
    }

    fn ask(&self, verb: &[&str]) -> Command {
        let mut command = Command::new(&self.llb);
        command
            .args(verb)
            .args(["--name", &self.name, "--runtime-dir"])
            .arg(self.stage.join("run"))
            .stdin(Stdio::null());
        command
    }

    /// `llb status --json`.
    pub(crate) fn status(&self) -> Result<Value> {
        let out = self.ask(&["status", "--json"]).stderr(Stdio::null()).output()?;
        ensure!(out.status.success(), "llb status: {}", out.status);
        Ok(serde_json::from_slice(&out.stdout)?)
    }

    /// `llb reload`: its exit code.
    pub(crate) fn reload(&self) -> Result<Option<i32>> {
        Ok(self.ask(&["reload"]).stdout(Stdio::null()).stderr(Stdio::null()).status()?.code())
    }

    /// Waits until no worker of an older generation is left.
    pub(crate) fn settle(&self) -> Result<()> {
        let deadline = now() + PATIENCE;
        loop {
            let status = self.status()?;
            let workers = status["workers"].as_array().context("no workers in the status")?;
            if workers.len() == 4 && workers.iter().all(|worker| worker["state"] == "serving") {
                return Ok(());
            }
            ensure!(now() < deadline, "the fleet does not settle: {status}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Kills the first process of a worker, as the kernel does when memory runs out.
    pub(crate) fn kill_one(&self) -> Result<()> {
        let pid = self.status()?["workers"][0]["pid"].as_i64().context("no pid in the status")?;
        kill(Pid::from_raw(pid as i32), Signal::SIGKILL).context("cannot kill a worker")
    }

    /// A file whose presence breaks the program's code.
    pub(crate) fn break_code(&self, is_broken: bool) -> Result<()> {
        let path = self.stage.join("broken");
        if is_broken {
            fs::write(path, "")?
        } else {
            fs::remove_file(path)?
        }
        Ok(())
    }

    /// Ends it by SIGTERM, as a service manager does, and waits for the end.
    pub(crate) fn stop(&mut self) -> Result<()> {
        // It has not been waited for, so the pid is its own.
        kill(Pid::from_raw(self.master.id() as i32), Signal::SIGTERM)?;
        let deadline = now() + PATIENCE;
        while self.master.try_wait()?.is_none() {
            ensure!(now() < deadline, "llb does not end");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// How many copies were ended because the time to finish was over.
    pub(crate) fn overdue(&self) -> usize {
        self.log().matches("its time to finish is over").count()
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.stage.join("llb.log")).unwrap_or_default()).into_owned()
    }

    fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(8)..].join(" | ")
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if let Ok(None) = self.master.try_wait()
            && let Err(error) = self.stop()
        {
            eprintln!("{error:#}; killing it");
            let _ = self.master.kill();
            let _ = self.master.wait();
        }
    }
}
