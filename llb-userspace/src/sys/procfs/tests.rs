use std::{
    ffi::OsStr,
    net::{TcpListener, UdpSocket},
    os::{fd::OwnedFd, unix::net::UnixListener},
    process::{Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{boot_id, comm, describe, endpoints, port_holder, socket_inode, started_at};
use crate::sys::{
    endpoint::Endpoint,
    testing::{Ward, until},
};

/// A process that sleeps and holds `socket` as its standard input.
fn holder(socket: impl Into<OwnedFd>) -> (Ward, Pid) {
    let child = Command::new("sleep").arg("600").stdin(Stdio::from(socket.into())).spawn().unwrap();
    let pid = Pid::from_raw(child.id().cast_signed());
    (Ward(child), pid)
}

#[test]
fn the_holder_of_a_port_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (ward, pid) = holder(listener);

    assert_eq!(endpoints(pid).unwrap(), [Endpoint::Tcp(address)]);
    let holder = port_holder(address.port()).unwrap().unwrap();
    assert_eq!(holder.to_string(), format!("pid {pid} (sleep)"));
    assert_eq!(comm(pid).unwrap(), "sleep");

    drop(ward);
    assert_eq!(describe(pid), format!("pid {pid} has ended"));
}

#[test]
fn what_it_does_instead_is_said() {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = udp.local_addr().unwrap();
    let (_ward, pid) = holder(udp);
    until("it sleeps", || describe(pid).contains(" is sleeping"));
    assert!(describe(pid).ends_with(&format!(", listens on udp {address}")), "{}", describe(pid));

    kill(pid, Signal::SIGSTOP).unwrap();
    until("it is stopped", || describe(pid).contains(" is stopped by a signal"));
}

#[test]
fn unix_sockets_are_named_and_other_descriptors_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let (_ward, pid) = holder(UnixListener::bind(&path).unwrap());
    assert!(describe(pid).ends_with(&format!("listens on unix socket {}", path.display())));

    let (_ward, pid) = holder(std::fs::File::open("/dev/null").unwrap());
    assert!(describe(pid).ends_with("listens on nothing"));
}

#[test]
fn a_pid_and_its_start_name_one_process() {
    let older = started_at(Pid::this()).unwrap();
    let (ward, pid) = holder(std::fs::File::open("/dev/null").unwrap());
    assert!(started_at(pid).unwrap() >= older);
    assert_eq!(started_at(Pid::this()).unwrap(), older);
    drop(ward);
    started_at(pid).unwrap_err();
    assert_eq!(boot_id().unwrap(), boot_id().unwrap());
}

#[test]
fn only_sockets_have_socket_inodes() {
    assert_eq!(socket_inode(OsStr::new("socket:[4711]")), Some(4711));
    assert_eq!(socket_inode(OsStr::new("pipe:[4711]")), None);
    assert_eq!(socket_inode(OsStr::new("socket:[x]")), None);
}
