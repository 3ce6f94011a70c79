//! Processes that end with us, whatever ends us: on drop, and by the kernel's hand if we are killed.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use llb_kit::clock::now;

/// How long one may take to end after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks at whether one has ended.
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// The processes of one fleet.
#[derive(Debug, Default)]
pub(super) struct Processes(Vec<Child>);

impl Processes {
    /// Starts `command` with what it says appended to `log`, and SIGTERM for it if this thread ends first.
    pub(super) fn start(&mut self, command: &Command, stdin: Stdio, log: &Path) -> Result<()> {
        let open = || File::options().create(true).append(true).open(log);
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--"])
            .arg(command.get_program())
            .args(command.get_args())
            .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
            // A group of its own. If we are killed while it is stopped, the kernel lets it go on, as it does with every
            // orphaned group, so that it hears of SIGTERM.
            .process_group(0)
            .stdin(stdin)
            .stdout(open().with_context(|| format!("cannot write {}", log.display()))?)
            .stderr(open()?)
            .spawn()
            .with_context(|| format!("cannot start {:?} by setpriv (of util-linux)", command.get_program()))?;
        self.0.push(child);
        Ok(())
    }

    /// The one that was started first.
    pub(super) fn first(&self) -> Option<Pid> {
        self.0.first().map(pid)
    }

    /// Sends this signal to each that is left.
    pub(super) fn signal(&self, signal: Signal) {
        for child in &self.0 {
            // It may have ended already; it is not reaped before a wait below, so the number is still its own.
            let _ = kill(pid(child), signal);
        }
    }

    /// Whether one has ended though nobody asked it to.
    pub(super) fn any_ended(&mut self) -> bool {
        self.0.iter_mut().any(|child| !matches!(child.try_wait(), Ok(None)))
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id() as i32)
}

impl Drop for Processes {
    fn drop(&mut self) {
        self.signal(Signal::SIGTERM);
        // Whoever is stopped hears of it only now.
        self.signal(Signal::SIGCONT);
        let deadline = now() + PATIENCE;
        for child in &mut self.0 {
            while matches!(child.try_wait(), Ok(None)) {
                if now() >= deadline {
                    eprintln!("process {} does not end; killing it", child.id());
                    let _ = child.kill();
                    let _ = child.wait();
                    break;
                }
                thread::sleep(BETWEEN_LOOKS);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_started_is_ended() {
        let mut sleep = Command::new("sleep");
        sleep.arg("1000");
        let mut processes = Processes::default();
        processes.start(&sleep, Stdio::null(), Path::new("/dev/null")).unwrap();
        assert!(!processes.any_ended());
        let pid = processes.first().unwrap();
        processes.signal(Signal::SIGSTOP);
        drop(processes);
        assert!(kill(pid, None).is_err());
    }
}
