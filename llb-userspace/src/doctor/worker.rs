//! The examination's worker: a server that knows nothing of llb but its channel, and ends when that is closed.

use std::{
    io,
    net::{Ipv4Addr, TcpListener as StdListener},
    os::unix::net::UnixStream as StdStream,
};

use nix::{sys::prctl::set_dumpable, unistd::geteuid};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixStream},
};

use crate::sys::{
    capabilities::{self, Capabilities},
    child::CHANNEL_FD,
    inherited::duplicate,
};

/// Listens on `127.0.0.1:port`, if one is given, and answers each connection with the byte `slot`. One that does not
/// `accept` leaves its connections waiting. Says on the channel an empty line, or why it cannot listen.
///
/// It does not set `SO_REUSEPORT`: that is llb's work.
///
/// # Errors
/// If the channel is not there, or the event loop breaks.
pub(crate) async fn serve(port: Option<u16>, slot: u8, accept: bool) -> io::Result<()> {
    be_common()?;
    let channel = StdStream::from(duplicate(CHANNEL_FD)?);
    channel.set_nonblocking(true)?;
    let mut channel = UnixStream::from_std(channel)?;
    let listener = port.map(listen).transpose();
    let word = listener.as_ref().err().map_or_else(String::new, io::Error::to_string);
    channel.write_all(format!("{word}\n").as_bytes()).await?;
    let listener = listener?;
    let answers = async {
        match &listener {
            Some(listener) if accept => answer(listener, slot).await,
            _ => std::future::pending().await,
        }
    };
    // Whoever started it writes nothing: the read ends when the doctor has, however it has.
    let mut nothing = [0];
    tokio::select! {
        ended = channel.read(&mut nothing) => ended.map(drop),
        broken = answers => broken,
    }
}

/// Where llb's file has capabilities of its own (setcap), a worker that is llb itself has them too, and is closed to
/// everybody's looks. That no other program would be.
fn be_common() -> io::Result<()> {
    if !geteuid().is_root() {
        capabilities::keep(Capabilities::NONE)?;
        set_dumpable(true)?;
    }
    Ok(())
}

fn listen(port: u16) -> io::Result<TcpListener> {
    let listener = StdListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

async fn answer(listener: &TcpListener, slot: u8) -> io::Result<()> {
    loop {
        let (mut peer, _) = listener.accept().await?;
        // A peer that has left misses its answer. One byte fits into any send buffer: this waits for nobody.
        let _ = peer.write_all(&[slot]).await;
    }
}
