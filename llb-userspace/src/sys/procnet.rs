//! The kernel's tables of sockets, /proc/PID/net/{tcp,tcp6,udp,udp6,unix}: those of that process's network
//! namespace, not its own alone.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use nix::unistd::Pid;

use super::{
    endpoint::{Endpoint, Socket},
    sock_diag,
};

/// `TCP_LISTEN` of the kernel's tcp_states.h, as the tables show it.
const LISTENING: &str = "0A";

/// `__SO_ACCEPTCON` of the kernel's net.h: the flag of a unix socket that listens.
const ACCEPTS: u32 = 1 << 16;

/// The listening TCP sockets in `pid`'s network namespace.
///
/// # Errors
/// If the tables cannot be read, as when the process has ended.
pub fn listeners(pid: Pid) -> io::Result<Vec<Socket>> {
    if is_here(pid)
        && let Ok(listeners) = sock_diag::listeners()
    {
        return Ok(listeners);
    }
    listed(pid)
}

/// The listening TCP socket of this cookie in `pid`'s network namespace, if there is one.
///
/// # Errors
/// If that is not our own, whose table alone has cookies, or if this kernel does not show it.
pub fn listener(pid: Pid, cookie: u64) -> io::Result<Option<Socket>> {
    if is_here(pid) { sock_diag::listener(cookie) } else { Err(io::ErrorKind::Unsupported.into()) }
}

/// Whether `pid` is in our own network namespace; false if that may not be seen.
fn is_here(pid: Pid) -> bool {
    let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/net"));
    pid == Pid::this()
        || matches!((namespace("self"), namespace(&pid.to_string())), (Ok(own), Ok(other)) if own == other)
}

/// The listeners of the tables, which hold all connections as well.
fn listed(pid: Pid) -> io::Result<Vec<Socket>> {
    let tables = [read(pid, "tcp")?, read(pid, "tcp6")?];
    Ok(tables.iter().flat_map(|table| parse_tcp(table)).collect())
}

/// All sockets in `pid`'s network namespace that others can reach.
///
/// # Errors
/// If the tables cannot be read, as when the process has ended.
pub fn reachable(pid: Pid) -> io::Result<Vec<Socket>> {
    let mut sockets = listeners(pid)?;
    for table in ["udp", "udp6"] {
        sockets.extend(parse_udp(&read(pid, table)?));
    }
    sockets.extend(parse_unix(&read(pid, "unix")?));
    Ok(sockets)
}

/// What waits in a UDP socket to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagrams {
    /// The socket's inode.
    pub inode: u64,
    /// Bytes, as the kernel counts memory.
    pub queued: u64,
    /// Datagrams that found no room since the socket was made.
    pub dropped: u64,
}

/// The queues of all UDP sockets in `pid`'s network namespace.
///
/// # Errors
/// If the tables cannot be read, as when the process has ended.
pub fn datagrams(pid: Pid) -> io::Result<Vec<Datagrams>> {
    let tables = [read(pid, "udp")?, read(pid, "udp6")?];
    Ok(tables.iter().flat_map(|table| parse_datagrams(table)).collect())
}

fn parse_datagrams(table: &str) -> impl Iterator<Item = Datagrams> {
    table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        // "tx_queue:rx_queue"
        let queued = u64::from_str_radix(fields.nth(4)?.split_once(':')?.1, 16).ok()?;
        let inode = fields.nth(4)?.parse().ok()?;
        Some(Datagrams { inode, queued, dropped: fields.nth(2)?.parse().ok()? })
    })
}

/// A table, empty where the kernel lacks the protocol, as `ipv6.disable=1` leaves it.
fn read(pid: Pid, table: &str) -> io::Result<String> {
    match fs::read(format!("/proc/{pid}/net/{table}")) {
        // Names of unix sockets can be any bytes.
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && fs::exists(format!("/proc/{pid}/net"))? => {
            Ok(String::new())
        }
        Err(error) => Err(error),
    }
}

fn parse_tcp(table: &str) -> impl Iterator<Item = Socket> {
    inet_rows(table)
        .filter(|(_, state, _)| *state == LISTENING)
        .map(|(address, _, inode)| Socket { inode, endpoint: Endpoint::Tcp(address) })
}

fn parse_udp(table: &str) -> impl Iterator<Item = Socket> {
    inet_rows(table).map(|(address, _, inode)| Socket { inode, endpoint: Endpoint::Udp(address) })
}

fn parse_unix(table: &str) -> impl Iterator<Item = Socket> {
    table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let flags = u32::from_str_radix(fields.nth(3)?, 16).ok()?;
        let inode = fields.nth(2)?.parse().ok()?;
        let path = fields.next()?.into();
        (flags & ACCEPTS != 0).then_some(Socket { inode, endpoint: Endpoint::Unix(path) })
    })
}

/// Local address, state and inode of each row.
fn inet_rows(table: &str) -> impl Iterator<Item = (SocketAddr, &str, u64)> {
    table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let address = parse_address(fields.nth(1)?)?;
        let state = fields.nth(1)?;
        let inode = fields.nth(5)?.parse().ok()?;
        Some((address, state, inode))
    })
}

/// `0100007F:1F90` is 127.0.0.1:8080 on a little-endian machine: each word of the address is in network order, and
/// is printed as if it were in the machine's.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let word = |index: usize| {
        let digits = address.get(index * 8..index * 8 + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(words.as_flattened()).ok()?))
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener, UdpSocket};

    use nix::{sys::stat::fstat, unistd::Pid};
    use proptest::prelude::{ProptestConfig, prop, proptest};

    use super::{
        Datagrams, Endpoint, Socket, datagrams, inet_rows, listeners, parse_address, parse_datagrams, parse_tcp,
        parse_unix, reachable,
    };

    #[test]
    #[cfg(target_endian = "little")]
    fn addresses_are_words_of_the_machine() {
        assert_eq!(parse_address("0100007F:1F90"), Some("127.0.0.1:8080".parse().unwrap()));
        assert_eq!(parse_address("00000000000000000000000001000000:0050"), Some("[::1]:80".parse().unwrap()));
        assert_eq!(parse_address("B80D01200000000067452301EFCDAB89:01BB"), {
            Some("[2001:db8::123:4567:89ab:cdef]:443".parse().unwrap())
        });
        assert_eq!(parse_address("0100007F1F90"), None);
        assert_eq!(parse_address("0100:1F90"), None);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn only_listeners_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            \x20  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 100 0 0 10 0\n\
            \x20  1: 0100007F:1F90 0100007F:A2C4 01 00000000:00000000 00:00000000 00000000  1000        0 4712 1 0 20 4 30 10 -1\n";
        let address = "127.0.0.1:8080".parse().unwrap();
        assert_eq!(parse_tcp(table).collect::<Vec<_>>(), [Socket { inode: 4711, endpoint: Endpoint::Tcp(address) }]);
    }

    #[test]
    fn queues_of_datagrams_are_read() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
            \x20  75: 0100007F:0035 00000000:0000 07 00000000:00000300 00:00000000 00000000     0        0 26721 2 ffff88 14\n";
        assert_eq!(
            parse_datagrams(table).collect::<Vec<_>>(),
            [Datagrams { inode: 26721, queued: 0x300, dropped: 14 }]
        );
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let inode = fstat(&receiver).unwrap().st_ino;
        let queued = || datagrams(Pid::this()).unwrap().into_iter().find(|queue| queue.inode == inode).unwrap().queued;
        assert_eq!(queued(), 0);
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", receiver.local_addr().unwrap()).unwrap();
        assert!(queued() > 0);
    }

    #[test]
    fn unix_sockets_that_do_not_listen_or_have_no_name_are_left_out() {
        let table = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            ffff8880: 00000002 00000000 00010000 0001 01 21347 /run/x.sock\n\
            ffff8880: 00000003 00000000 00000000 0001 03 21348 /run/x.sock\n\
            ffff8880: 00000003 00000000 00010000 0001 03 21349\n";
        let expected = Socket { inode: 21347, endpoint: Endpoint::Unix("/run/x.sock".into()) };
        assert_eq!(parse_unix(table).collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn our_own_sockets_are_in_the_tables() {
        let tcp = ["127.0.0.1:0", "[::1]:0"].map(|address| TcpListener::bind(address).unwrap());
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let found = listeners(Pid::this()).unwrap();
        for listener in &tcp {
            let address: SocketAddr = listener.local_addr().unwrap();
            assert!(found.iter().any(|socket| socket.endpoint == Endpoint::Tcp(address)), "{address} in {found:?}");
        }
        // The UDP socket is closed by now; what is asked is only that the tables can be read.
        assert!(reachable(Pid::this()).unwrap().iter().all(|socket| socket.endpoint != Endpoint::Tcp(udp)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_table_is_a_panic(rows in prop::collection::vec("[ -~é]{0,80}", 0..4)) {
            let table = rows.join("\n");
            inet_rows(&table).count();
            parse_datagrams(&table).count();
            parse_unix(&table).count();
        }
    }
}
