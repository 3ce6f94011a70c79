//! The listening TCP sockets of this network namespace, from `sock_diag(7)`. Unlike /proc/net/tcp it does not walk through
//! all connections, of which a busy machine has a hundred thousand.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsRawFd, OwnedFd},
};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::{
    SockDiagMessage,
    constants::{AF_INET, AF_INET6, IPPROTO_TCP},
    inet::{ExtensionFlags, InetRequest, SocketId, StateFlags},
};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

use super::endpoint::{Endpoint, Socket};

/// What the kernel sends at a time: up to a page, or 32 KiB if the reader has asked for so much (`netlink_dump`).
const MESSAGE_MAX: usize = 32 * 1024;

/// All listeners, IPv4 and IPv6.
///
/// # Errors
/// If this kernel has no sock_diag, or the process may not use it.
pub(super) fn listeners() -> io::Result<Vec<Socket>> {
    Ok(known()?.into_iter().map(|(_, socket)| socket).collect())
}

/// The listener of this cookie, without a copy of it: a copy keeps a listener open.
///
/// # Errors
/// As [`listeners`].
pub(super) fn listener(cookie: u64) -> io::Result<Option<Socket>> {
    Ok(known()?.into_iter().find_map(|(found, socket)| (found == cookie).then_some(socket)))
}

/// All listeners with their cookies.
fn known() -> io::Result<Vec<(u64, Socket)>> {
    let socket =
        socket(AddressFamily::Netlink, SockType::Datagram, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkSockDiag)?;
    let mut sockets = Vec::new();
    for (family, any) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
        ask(&socket, family, any)?;
        while read(&socket, &mut sockets)? {}
    }
    Ok(sockets)
}

fn ask(socket: &OwnedFd, family: u8, any: SocketId) -> io::Result<()> {
    let request = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::LISTEN,
        socket_id: any,
    };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    send(socket.as_raw_fd(), &bytes, MsgFlags::empty())?;
    Ok(())
}

/// Reads what the kernel sends next; false if that was the end.
fn read(socket: &OwnedFd, sockets: &mut Vec<(u64, Socket)>) -> io::Result<bool> {
    let mut buffer = vec![0; MESSAGE_MAX];
    let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
    let mut rest = buffer.get(..length).unwrap_or_default();
    while !rest.is_empty() {
        let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest).map_err(io::Error::other)?;
        match message.payload {
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                let header = response.header;
                let address = SocketAddr::new(header.socket_id.source_address, header.socket_id.source_port);
                let socket = Socket { inode: header.inode.into(), endpoint: Endpoint::Tcp(address) };
                // Two words, the lower one first.
                sockets.push((u64::from_le_bytes(header.socket_id.cookie), socket));
            }
            NetlinkPayload::Done(_) => return Ok(false),
            NetlinkPayload::Error(error) => return Err(error.to_io()),
            _ => {}
        }
        let length = (message.header.length as usize).next_multiple_of(4);
        rest = rest.get(length..).filter(|_| length > 0).unwrap_or_default();
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use nix::sys::stat::fstat;

    use super::{Endpoint, Socket, listener as listener_of, listeners};
    use crate::sys::socket::cookie;

    #[test]
    fn own_listeners_are_found_and_connections_are_not() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let endpoint = Endpoint::Tcp(listener.local_addr().unwrap());
            let socket = Socket { inode: fstat(&listener).unwrap().st_ino, endpoint };
            let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let found = listeners().unwrap();
            assert_eq!(listener_of(cookie(&listener).unwrap()).unwrap().as_ref(), Some(&socket));
            assert_eq!(listener_of(cookie(&client).unwrap()).unwrap(), None);
            assert!(found.contains(&socket), "{socket:?} of {found:?}");
            let local = Endpoint::Tcp(client.local_addr().unwrap());
            assert!(!found.iter().any(|socket| socket.endpoint == local));
        }
    }
}
