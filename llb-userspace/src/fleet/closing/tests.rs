use std::{
    net::{TcpListener, TcpStream},
    os::fd::OwnedFd,
    process::{Command, Stdio},
};

use nix::unistd::Pid;

use super::{CloseScope, DrainLook, DrainWatch, Holding, QUIET, Signal, Subject};
use crate::sys::testing::{Ward, until};

const QUIETLY: CloseScope = CloseScope { pause: QUIET, permille: 1_000 };

fn look(pid: Pid, port: u16, at_rest: Option<bool>, scope: Option<CloseScope>) -> DrainLook {
    let subject = Subject { pids: vec![pid], ports: vec![port], signal: Signal::SIGTERM, chosen: false, looked_at: 1 };
    DrainWatch::default().look(&subject, |_| at_rest, None, scope).unwrap()
}

/// A process that holds `socket`, which is closed here.
fn holder(socket: impl Into<OwnedFd>) -> (Ward, Pid) {
    let child = Command::new("sleep").arg("600").stdin(Stdio::from(socket.into())).spawn().unwrap();
    let pid = Pid::from_raw(child.id().cast_signed());
    (Ward(child), pid)
}

#[test]
fn a_listener_holds_what_waits_in_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (_ward, pid) = holder(listener);
    let looked = || look(pid, address.port(), None, None);
    assert_eq!(looked(), DrainLook { holds: Holding::Nothing, settled: true, ends_itself: false });
    let client = TcpStream::connect(address).unwrap();
    until("a connection waits", || looked().holds == Holding::Requests);
    assert!(!looked().settled);
    assert_eq!(look(pid, 1, None, None).holds, Holding::Nothing, "another port is none of ours");
    drop(client);
}

#[test]
fn only_a_quiet_connection_without_a_request_is_idle() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (_ward, pid) = holder(listener.accept().unwrap().0);
    let looked = |at_rest, scope| look(pid, port, at_rest, scope);
    let fresh = looked(Some(true), Some(QUIETLY));
    assert_eq!((fresh.holds, fresh.settled), (Holding::Streams, false), "its request may be on its way");
    assert_eq!(looked(Some(false), Some(QUIETLY)).holds, Holding::Requests);
    until("it has settled", || looked(Some(true), None).settled);
    until("it is idle", || looked(Some(true), None).holds == Holding::Idle);
    drop(client);
    until("the client is gone", || looked(None, None).holds != Holding::Nothing);
    assert_eq!(look(Pid::from_raw(i32::MAX), port, None, None).holds, Holding::Nothing);
}

#[test]
fn workers_that_drain_together_share_the_cost() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (_ward, pid) = holder(listener);
    let waits = |watch: &mut DrainWatch, looked_at| {
        let (pids, ports) = (vec![pid], vec![address.port()]);
        let subject = Subject { pids, ports, signal: Signal::SIGTERM, chosen: false, looked_at };
        watch.look(&subject, |_| None, None, None).unwrap().holds == Holding::Requests
    };
    let (mut of_one, mut of_many) = (DrainWatch::default(), DrainWatch::default());
    assert!(!waits(&mut of_one, 1) && !waits(&mut of_many, 1_000_000));
    let _client = TcpStream::connect(address).unwrap();
    until("a connection waits", || waits(&mut of_one, 1));
    assert!(!waits(&mut of_many, 1_000_000), "it is not looked at again for minutes");
}
