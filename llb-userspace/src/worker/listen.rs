//! Listening sockets of workers.

use std::{
    io,
    net::{SocketAddr, TcpListener, ToSocketAddrs},
};

use socket2::{Domain, Protocol, Socket, Type};

use super::{Error, Reporter};

/// Connections that may wait in the queue; the kernel cuts it to `net.core.somaxconn`, whose default this is.
const BACKLOG: i32 = 4096;

/// Listens, and tells llb that this worker is ready. For a worker with several ports: [`bind`] all but the last.
///
/// The listener blocks, and up to 4096 connections wait in its queue, if `net.core.somaxconn` lets them. Under llb its port is
/// shared with the worker's siblings (`SO_REUSEPORT`); without llb it is not. Of a name with several addresses the first that can
/// be listened on is taken.
///
/// # Errors
/// [`Error::Resolve`] or [`Error::Listen`] if the address cannot be listened on; those of [`Reporter::from_env`] if what `LLB_FD`
/// names is not llb; [`Error::Say`] if llb has ended since.
///
/// ```
/// # fn main() -> Result<(), llb::worker::Error> {
/// let listener = llb::worker::listen("127.0.0.1:0")?;
/// # let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
/// for connection in listener.incoming().flatten() {
///     // Answer here.
///     # drop(connection);
///     # break;
/// }
/// # Ok(())
/// # }
/// ```
pub fn listen(address: impl ToSocketAddrs) -> Result<TcpListener, Error> {
    let reporter = Reporter::from_env()?;
    let listener = bind(address)?;
    reporter.ready()?;
    Ok(listener)
}

/// Listens, as [`listen`] does, and tells nobody.
///
/// # Errors
/// As those of [`listen`], but for [`Error::Say`].
///
/// ```
/// # fn main() -> Result<(), llb::worker::Error> {
/// let admin = llb::worker::bind("127.0.0.1:0")?;
/// let public = llb::worker::listen("127.0.0.1:0")?;
/// # Ok(())
/// # }
/// ```
pub fn bind(address: impl ToSocketAddrs) -> Result<TcpListener, Error> {
    let shared = Reporter::from_env()?.is_under_llb();
    let mut last = Error::Resolve(io::Error::new(io::ErrorKind::NotFound, "it names no address"));
    for address in address.to_socket_addrs().map_err(Error::Resolve)? {
        match listener(address, shared) {
            Ok(listener) => return Ok(listener),
            Err(source) => last = Error::Listen { address, source },
        }
    }
    Err(last)
}

fn listener(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    // Plain TCP: the kernel can steer no other.
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // The port's last connections may still be in TIME_WAIT; std's listeners do the same.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;

    use super::*;

    #[test]
    fn a_port_is_shared_under_llb_and_not_alone() {
        let any = "[::1]:0".parse().unwrap();
        let shared = listener(any, true).unwrap();
        let address = shared.local_addr().unwrap();
        listener(address, true).expect("a sibling");
        let alone = listener(any, false).unwrap();
        let refused = listener(alone.local_addr().unwrap(), false).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        assert!(SockRef::from(&shared).reuse_port().unwrap() && !SockRef::from(&alone).reuse_port().unwrap());
    }

    #[test]
    fn an_error_names_the_address() {
        let alone = bind("127.0.0.1:0").unwrap();
        let taken = alone.local_addr().unwrap();
        let error = bind(taken).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot listen on {taken}"));
    }
}
