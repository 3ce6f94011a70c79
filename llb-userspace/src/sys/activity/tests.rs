use std::{
    net::TcpListener,
    os::fd::OwnedFd,
    process::{Command, Stdio},
};

use nix::{
    sys::{
        signal::{Signal, kill},
        stat::fstat,
    },
    unistd::Pid,
};

use super::{Activity, is_asleep, of};
use crate::sys::testing::{Ward, until};

#[test]
fn a_stopped_thread_is_not_asleep() {
    assert!(is_asleep("7 (a) S) S 1 2") && !is_asleep("7 (a S) T 1 2"));
}

/// A Python program with a listener as its standard input.
#[track_caller]
fn assert_activity(program: &str, expected: Activity) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let inode = fstat(&listener).unwrap().st_ino;
    let mut command = Command::new("python3");
    command.args(["-c", &format!("import os, select, socket, time\ns = socket.socket(fileno=0)\n{program}")]);
    let child = command.stdin(Stdio::from(OwnedFd::from(listener))).spawn().unwrap();
    let pid = Pid::from_raw(child.id().cast_signed());
    let _ward = Ward(child);
    until("the program does what it is to do", || of(&[pid], &[inode]) == expected);
    if expected == Activity::Waits {
        assert_ne!(of(&[pid], &[inode + 1]), Activity::Waits, "another listener");
        kill(pid, Signal::SIGSTOP).unwrap();
        until("one that is stopped does not wait", || of(&[pid], &[inode]) != Activity::Waits);
    }
}

#[test]
fn whoever_accepts_waits() {
    assert_activity("s.accept()", Activity::Waits);
}

#[test]
fn whoever_polls_waits() {
    assert_activity("p = select.poll()\np.register(0, select.POLLIN)\np.poll()", Activity::Waits);
}

#[test]
fn whoever_selects_waits() {
    assert_activity("select.select([s], [], [], 60)", Activity::Waits);
}

#[test]
fn whoever_waits_in_epoll_waits() {
    assert_activity("e = select.epoll()\ne.register(0, select.EPOLLIN)\ne.poll()", Activity::Waits);
}

#[test]
fn whoever_has_disarmed_its_listener_does_not_wait() {
    let disarmed = "e = select.epoll()\ne.register(0, select.EPOLLIN)\ne.modify(0, 0)\ne.poll()";
    assert_activity(disarmed, Activity::Blocked);
}

#[test]
fn whoever_sleeps_is_blocked() {
    assert_activity("time.sleep(60)", Activity::Blocked);
}

#[test]
fn whoever_computes_runs() {
    assert_activity("while True: pass", Activity::Runs);
}

#[test]
fn a_program_that_has_ended_is_blocked() {
    assert_eq!(of(&[Pid::from_raw(i32::MAX)], &[1]), Activity::Blocked);
}
