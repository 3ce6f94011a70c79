//! What whoever starts llb may have left otherwise than usual: signals that are ignored or blocked.

use crate::harness::{Launcher, Stage, identity::pid_of, proc, until};
use nix::sys::signal::{Signal, kill};

/// Ignores all signals that can be, but for SIGHUP, blocks all, and becomes llb.
const DEAF: &str = "
import os, signal, sys
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGHUP}:
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
os.execv(sys.argv[1], sys.argv[1:])
";

/// Signals 32 and 33, which glibc lets nobody set.
const LIBCS_OWN: u64 = 0b11 << 31;

fn deaf() -> Launcher {
    Launcher { wrapper: ["python3", "-c", DEAF].map(String::from).into(), ..Launcher::default() }
}

#[test]
fn a_death_is_noticed_though_sigchld_is_ignored() {
    let stage = Stage::new();
    let server = stage.static_server();
    let fleet = stage.start_by(&deaf(), &["-n", "2"], &[&server, "8080"]);
    let before = fleet.status();
    let died = pid_of(&before, 1);
    kill(died, Signal::SIGKILL).unwrap();
    until("it is replaced", || {
        let worker = fleet.status().workers.into_iter().find(|worker| worker.slot == 1);
        worker.is_some_and(|worker| worker.state == "serving" && worker.pid != died.as_raw().unsigned_abs())
    });
    let exit = fleet.worker(1).last_exit;
    assert!(exit.as_ref().is_some_and(|exit| exit.contains("SIGKILL")), "{exit:?}");
    assert_eq!(fleet.stop().code, Some(0), "it hears SIGTERM, and that all have ended");
}

#[test]
fn workers_inherit_no_ignored_or_blocked_signal() {
    let stage = Stage::new();
    let server = stage.static_server();
    for by in [Launcher::default(), deaf()] {
        let fleet = stage.start_by(&by, &["-n", "1"], &[&server, "8080"]);
        let worker = proc::status(pid_of(&fleet.status(), 0));
        assert_eq!((worker.mask("SigIgn") & !LIBCS_OWN, worker.mask("SigBlk")), (0, 0), "{worker:?}");
        fleet.stop();
    }
}
