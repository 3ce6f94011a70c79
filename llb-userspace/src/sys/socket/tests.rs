use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixListener,
    thread,
};

use nix::libc;

use super::{
    accept_queue, cookie, has_reuseport, is_listening, local_addr, owner, relisten, set_tcp_option, tcp_option, wake,
};
use crate::sys::testing::until;

#[test]
fn a_listener_tells_its_queue() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    assert_eq!(accept_queue(&listener).unwrap().length, 0);
    assert!(accept_queue(&listener).unwrap().backlog > 0);

    let clients = [TcpStream::connect(address).unwrap(), TcpStream::connect(address).unwrap()];
    until("two connections wait", || accept_queue(&listener).unwrap().length == 2);
    assert!(accept_queue(&clients[0]).is_err());

    let (accepted, _) = listener.accept().unwrap();
    assert_eq!(accept_queue(&listener).unwrap().length, 1);
    assert!(is_listening(&listener).unwrap());
    assert!(!is_listening(&accepted).unwrap());
    assert_eq!(local_addr(&accepted).unwrap(), Some(address));
}

#[test]
fn a_listener_that_was_woken_listens_on_and_a_connection_that_was_not_lives() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    wake(&listener).unwrap();
    assert!(is_listening(&listener).unwrap());
    assert!(wake(&client).is_err());
    let (mut accepted, _) = listener.accept().unwrap();
    client.write_all(b"x").unwrap();
    accepted.read_exact(&mut [0]).unwrap();
    TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    listener.accept().unwrap();
}

#[test]
fn copies_share_a_cookie_and_sockets_do_not() {
    let one = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(cookie(&one).unwrap(), cookie(one.try_clone().unwrap()).unwrap());
    assert_ne!(cookie(&one).unwrap(), cookie(&other).unwrap());
    assert!(!has_reuseport(&one).unwrap());
    socket2::SockRef::from(&one).set_reuse_port(true).unwrap();
    assert!(has_reuseport(&one).unwrap());
    assert_eq!(owner(&one).unwrap(), nix::unistd::geteuid().as_raw());
}

#[test]
fn a_listener_that_listens_again_is_as_it_was() {
    // A port that was free a moment ago: one that the kernel has chosen is lost.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listener = TcpListener::bind(address).unwrap();
    set_tcp_option(&listener, libc::TCP_MAXSEG, 1_000).unwrap();
    set_tcp_option(&listener, libc::TCP_WINDOW_CLAMP, 30_000).unwrap();
    let before = (accept_queue(&listener).unwrap(), cookie(&listener).unwrap());

    // Alone in its group, so that whoever waits is reset.
    let mut client = TcpStream::connect(address).unwrap();
    until("a connection waits", || accept_queue(&listener).unwrap().length == 1);
    assert_eq!(relisten(&listener).unwrap(), 1);

    assert!(client.read(&mut [0]).is_err());
    assert_eq!((accept_queue(&listener).unwrap(), cookie(&listener).unwrap()), before);
    assert_eq!(tcp_option(&listener, libc::TCP_MAXSEG).unwrap(), 1_000);
    assert_eq!(tcp_option(&listener, libc::TCP_WINDOW_CLAMP).unwrap(), 30_000);
    assert_eq!(listener.local_addr().unwrap(), address);
    let _client = TcpStream::connect(address).unwrap();
    listener.accept().unwrap();
    let closed = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    assert!(relisten(&closed).is_err(), "it does not listen");
}

#[test]
fn whoever_is_woken_for_nothing_sleeps_on() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let copy = listener.try_clone().unwrap();
    let accepting = thread::spawn(move || listener.accept().map(drop));
    for _ in 0..100 {
        wake(&copy).unwrap();
    }
    assert!(!accepting.is_finished());
    let _client = TcpStream::connect(address).unwrap();
    accepting.join().unwrap().unwrap();
}

#[test]
fn a_unix_listener_has_no_port() {
    let directory = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(directory.path().join("socket")).unwrap();
    assert_eq!(local_addr(&listener).unwrap(), None);
    assert!(accept_queue(&listener).is_err());
}
