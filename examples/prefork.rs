//! A pre-fork server with a master of its own: it makes a listening socket for each worker, keeps the workers alive, and has
//! llb hand each connection to the one that will answer soonest.
//!
//!     cargo build --example prefork && sudo target/debug/examples/prefork 127.0.0.1:8080 4
//!
//! A worker answers with its slot; to /ms/N after N milliseconds.

use std::{
    error::Error,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::{AsFd, OwnedFd},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use llb::{
    balancer::{Balancer, Reports, Settings},
    now,
};
use socket2::{Domain, Socket, Type};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["worker", slot] => serve(slot),
        [address, workers] => master(address.parse()?, workers.parse()?),
        _ => Err("usage: prefork ADDRESS WORKERS".into()),
    }
}

fn master(address: SocketAddr, workers: usize) -> Result<(), Box<dyn Error>> {
    // The master keeps the sockets: what waits in one is answered by the worker's replacement.
    let listeners = (0..workers).map(|_| listen(address)).collect::<io::Result<Vec<_>>>()?;
    let mut children: Vec<Option<Child>> = (0..workers).map(|_| None).collect();
    let mut balancer = Balancer::load(Settings::default())?;
    loop {
        // A slot whose worker has died is empty for one turn, and is not chosen.
        for child in &mut children {
            if child.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None))) {
                *child = None;
            }
        }
        let slots: Vec<Option<&TcpListener>> =
            listeners.iter().zip(&children).map(|(listener, child)| child.as_ref().map(|_| listener)).collect();
        balancer.set_active(&slots, now())?;
        balancer.update(now());
        for (slot, (child, listener)) in children.iter_mut().zip(&listeners).enumerate() {
            if child.is_none() {
                *child = Some(spawn(slot, listener, balancer.reports())?);
            }
        }
        thread::sleep(balancer.update_every());
    }
}

/// A listening socket that shares its port with others.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

/// A worker: it gets its listener as its standard input, and writes how long each request took.
fn spawn(slot: usize, listener: &TcpListener, reports: Reports) -> io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["worker", &slot.to_string()]).stdin(Stdio::from(OwnedFd::from(listener.try_clone()?)));
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    if let Some(stdout) = child.stdout.take() {
        thread::spawn(move || {
            let latencies = BufReader::new(stdout).lines().map_while(Result::ok).filter_map(|us| us.parse().ok());
            latencies.for_each(|us| reports.report(slot as u32, Duration::from_micros(us)));
        });
    }
    Ok(child)
}

fn serve(slot: &str) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    for stream in listener.incoming() {
        let began = now();
        if answer(stream?, slot).is_ok() {
            println!("{}", now().since(began) / 1_000);
        }
    }
    Ok(())
}

fn answer(mut stream: TcpStream, slot: &str) -> io::Result<()> {
    let mut request = [0; 4096];
    let length = stream.read(&mut request)?;
    let request = String::from_utf8_lossy(&request[..length]);
    if let Some((_, ms)) = request.lines().next().unwrap_or_default().split_once("/ms/") {
        let ms = ms.split(' ').next().and_then(|ms| ms.parse().ok()).unwrap_or(0);
        thread::sleep(Duration::from_millis(ms));
    }
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{slot}", slot.len())
}
