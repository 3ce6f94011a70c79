use std::{
    net::TcpListener,
    os::fd::OwnedFd,
    process::{Command, Stdio},
};

use nix::unistd::Pid;

use super::waits_at;
use crate::sys::{
    procfs,
    testing::{Ward, until},
};

/// Python does `doing` with the listener `s`; its pid, and the listener's inode.
fn python(doing: &str) -> (Ward, Pid, u64) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let program = format!(
        "import os, select, socket, threading, time\n\
         s = socket.socket(fileno=os.dup2(0, 37))\nos.close(0)\n{doing}\n"
    );
    let mut command = Command::new("python3");
    command.args(["-c", &program]).stdin(Stdio::from(OwnedFd::from(listener)));
    let child = command.spawn().unwrap();
    let pid = Pid::from_raw(child.id().cast_signed());
    let inode = procfs::socket_fds(pid).unwrap()[0].inode;
    (Ward(child), pid, inode)
}

#[test]
fn each_way_to_wait_is_seen() {
    for doing in [
        "s.setblocking(True); s.accept()",
        "s.settimeout(600); s.accept()",
        "select.select([s], [], [])",
        "p = select.poll(); p.register(0) if 0 else p.register(s, select.POLLIN); p.poll()",
        "e = select.epoll(); e.register(s, select.EPOLLIN); e.poll()",
        // By another number than the one it has now.
        "t = socket.socket(fileno=os.dup(37)); e = select.epoll(); e.register(t); s.close(); e.poll()",
        "e = select.epoll(); e.register(s, 1); f = select.epoll(); f.register(e, 1); f.poll()",
        "threading.Thread(target=s.accept).start(); time.sleep(600)",
        "if os.fork(): os.wait()\ns.accept()",
    ] {
        let (_ward, pid, inode) = python(doing);
        let children = format!("/proc/{pid}/task/{pid}/children");
        until(doing, || {
            let child = std::fs::read_to_string(&children).unwrap_or_default();
            let child = child.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw);
            let pids: Vec<Pid> = child.chain([pid]).collect();
            let told = waits_at(&pids, inode);
            // The orphan would outlive the test.
            if told == Some(true) && pids.len() > 1 {
                nix::sys::signal::kill(pids[0], nix::sys::signal::Signal::SIGKILL).unwrap();
            }
            told == Some(true)
        });
        assert_eq!(waits_at(&[pid], inode + 1), Some(false), "{doing}: at another socket");
    }
}

#[test]
fn whoever_sleeps_elsewhere_does_not_wait() {
    for doing in [
        "time.sleep(600)",
        "r, w = os.pipe(); select.select([r], [], [])",
        "r, w = os.pipe(); e = select.epoll(); e.register(r, 1); e.poll()",
        "r, w = os.pipe(); p = select.poll(); p.register(r); p.poll()",
        "a, b = socket.socketpair(); a.recv(1)",
    ] {
        let (_ward, pid, inode) = python(doing);
        until(doing, || procfs::describe(pid).contains(" is sleeping") && procfs::comm(pid).unwrap() == "python3");
        assert_eq!(waits_at(&[pid], inode), Some(false), "{doing}");
    }
    let (_ward, pid, inode) = python("while True: pass");
    until("it runs", || procfs::describe(pid).contains(" is running"));
    assert_eq!(waits_at(&[pid], inode), Some(false));
}

#[test]
fn what_has_ended_does_not_wait() {
    assert_eq!(waits_at(&[Pid::from_raw(i32::MAX)], 1), Some(false));
    assert_eq!(waits_at(&[], 1), Some(false));
}
