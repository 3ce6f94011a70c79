//! The library's slots that are left while their sockets stay open, and connections on them.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use crate::harness::{Stage, until};
use llb::{
    balancer::{ActiveWorker, Balancer, Settings},
    now,
};
use socket2::{Domain, Socket, Type};

/// Two addresses: with one alone the selector need not know by way of which listener it is asked.
const ADDRESSES: [&str; 2] = ["127.0.0.1:8080", "127.0.0.1:8081"];

fn shared(address: &str) -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&address.parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.listen(128).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.into()
}

struct Both([TcpListener; 2]);

impl ActiveWorker for &Both {
    fn listeners(&self) -> Vec<std::os::fd::BorrowedFd<'_>> {
        self.0.iter().map(std::os::fd::AsFd::as_fd).collect()
    }
}

/// How many connections wait for a listener; they are closed.
fn accept_all(listener: &TcpListener) -> usize {
    std::iter::from_fn(|| match listener.accept() {
        Ok(accepted) => Some(accepted),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
            None
        }
    })
    .count()
}

#[test]
fn a_left_slot_with_open_sockets_gets_nothing() {
    let _stage = Stage::new();
    let workers = [(); 3].map(|()| Both(ADDRESSES.map(shared)));
    let mut balancer = Balancer::load(Settings::default()).expect("root's rights");
    let [zero, one, two] = &workers;
    balancer.set_active(&[Some(zero), Some(one), Some(two)], now()).unwrap();
    balancer.set_active(&[Some(zero), Some(one), None], now()).unwrap();
    // Far beyond the time after which listeners that are closed are forgotten.
    balancer.update(now().after(Duration::from_secs(60)));
    balancer.update(now());
    for (index, address) in ADDRESSES.iter().enumerate() {
        let clients: Vec<TcpStream> = (0..30).map(|_| TcpStream::connect(address).unwrap()).collect();
        let got = [zero, one, two].map(|worker| accept_all(&worker.0[index]));
        assert_eq!((got[0] + got[1], got[2]), (30, 0), "{address}: {got:?}");
        drop(clients);
    }
}

#[test]
fn a_seat_with_open_connections_is_not_given_to_the_next_worker() {
    let _stage = Stage::new();
    let address = ADDRESSES[0];
    let old = shared(address);
    let mut balancer = Balancer::load(Settings::default()).expect("root's rights");
    balancer.set_active(&[Some(&old)], now()).unwrap();
    balancer.update(now());
    let mut client = TcpStream::connect(address).unwrap();
    let (mut kept, _) = old.accept().unwrap();
    kept.set_nonblocking(false).unwrap();
    until("it is counted", || balancer.status().unwrap().slots[0].open == 1);

    balancer.set_active::<&TcpListener>(&[None], now()).unwrap();
    for minutes in 1..4 {
        balancer.update(now().after(Duration::from_secs(60 * minutes)));
    }
    let new = shared(address);
    balancer.set_active(&[Some(&new)], now()).unwrap();
    client.write_all(b"?").unwrap();
    kept.read_exact(&mut [0]).unwrap();
    kept.write_all(b"!").unwrap();
    client.read_exact(&mut [0]).unwrap();
    let slot = &balancer.status().unwrap().slots[0];
    assert_eq!((slot.answered, slot.open), (0, 0), "the answer is the old worker's");
}
