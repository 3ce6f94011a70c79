//! llb as process 1 of a container, and elsewhere: whose parents have ended become its children.

use std::{
    fs::{self, File},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use crate::harness::{Fleet, Launcher, Stage, until};
use nix::{
    libc::O_NONBLOCK,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// As many as a busy worker may leave in a minute.
const ORPHANS: usize = 200;

/// The processes whose parent is `pid`, each with the letter of its state.
fn children(pid: Pid) -> Vec<(Pid, char)> {
    let stat = |entry: fs::DirEntry| {
        let child = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?);
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ');
        let (state, parent) = (fields.next()?.chars().next()?, fields.next()?.parse().ok()?);
        (Pid::from_raw(parent) == pid).then_some((child, state))
    };
    fs::read_dir("/proc").expect("/proc").flatten().filter_map(stat).collect()
}

fn zombies(pid: Pid) -> usize {
    children(pid).iter().filter(|(_, state)| *state == 'Z').count()
}

/// How many processes a fleet's workers have.
fn processes(cgroup: &Path) -> usize {
    let workers = fs::read_dir(cgroup).expect("a cgroup").flatten();
    workers
        .filter_map(|worker| fs::read_to_string(worker.path().join("cgroup.procs")).ok())
        .map(|procs| procs.lines().count())
        .sum()
}

/// A worker that leaves orphans, each of which ends when somebody opens `$STAGE/gate`.
fn leave_orphans(server: &str) -> String {
    let orphan = "read word < $STAGE/gate";
    format!("mkfifo $STAGE/gate; for i in $(seq {ORPHANS}); do ( ({orphan}) & ); done; exec '{server}' 8080")
}

fn end_orphans(stage: &Stage, fleet: &Fleet, master: Pid) {
    until("they are there", || processes(fleet.cgroup()) > ORPHANS);
    until("all but the worker have ended", || {
        // Those who wait for it at that moment; there may be none.
        let _ = File::options().write(true).custom_flags(O_NONBLOCK).open(stage.path().join("gate"));
        processes(fleet.cgroup()) == 1
    });
    until("they are waited for", || zombies(master) == 0);
}

#[test]
fn orphans_are_reaped_by_process_one() {
    let stage = Stage::new();
    let server = stage.static_server();
    let wrapper = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"].map(String::from).into();
    let by = Launcher { wrapper, ..Launcher::default() };
    let fleet = stage.start_by(&by, &["-n", "1"], &["sh", "-c", &leave_orphans(&server)]);
    let (one, _) = children(fleet.pid())[0];
    end_orphans(&stage, &fleet, one);
    assert!(fleet.command("stop").status().unwrap().success());
    assert_eq!(fleet.wait().code, Some(0));
}

#[test]
fn orphans_are_reaped_by_any_llb() {
    let stage = Stage::new();
    let server = stage.static_server();
    let fleet = stage.start(&["-n", "1"], &["sh", "-c", &leave_orphans(&server)]);
    until("they are its children", || children(fleet.pid()).len() > ORPHANS);
    // One whose end its own task waits for is in front of the others.
    kill(Pid::from_raw(fleet.worker(0).pid.cast_signed()), Signal::SIGKILL).unwrap();
    until("all are waited for", || zombies(fleet.pid()) == 0 && children(fleet.pid()).len() > ORPHANS);
    end_orphans(&stage, &fleet, fleet.pid());
    fleet.stop();
}
