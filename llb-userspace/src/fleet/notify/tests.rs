use std::{
    ffi::OsStr,
    fs::Permissions,
    io::{ErrorKind, IoSlice, Read},
    os::{
        fd::AsRawFd,
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            fs::PermissionsExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    process,
};

use nix::{
    sys::socket::{ControlMessage, MsgFlags, sendmsg},
    unistd::Pid,
};
use proptest::prelude::{ProptestConfig, any, prop, proptest};

use super::{LONGEST, Notification, NotifySocket, says_ready};
use crate::sys::mounts::own_cgroup;

/// A fleet's socket, with this test's own cgroup as that of the fleet, and somebody who talks to it.
fn pair(name: &str, cgroup: &std::path::Path) -> (NotifySocket, UnixDatagram) {
    let name = format!("{name}-{}", process::id()).parse().unwrap();
    // Nothing but an abstract name is left where there is no directory.
    let runtime = std::path::Path::new("/no/such/directory/main");
    let socket = NotifySocket::open(&name, runtime, false, cgroup, [7; 16]).unwrap();
    let address = socket.address().as_bytes().strip_prefix(b"@").unwrap();
    let sender = UnixDatagram::unbound().unwrap();
    sender.connect_addr(&SocketAddr::from_abstract_name(address).unwrap()).unwrap();
    (socket, sender)
}

fn unknown_sender() -> Notification {
    Notification::Ready { pid: Pid::this(), cgroup: None }
}

#[tokio::test]
async fn a_sender_in_no_cgroup_of_the_fleet_is_unknown() {
    let below = own_cgroup().unwrap().path.join("llb.notify");
    let (socket, sender) = pair("unknown", &below);
    sender.send(b"READY=1").unwrap();
    assert_eq!(socket.receive().unwrap(), unknown_sender());
    assert_eq!(socket.receive().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[tokio::test]
async fn only_a_line_of_its_own_says_ready() {
    let (socket, sender) = pair("lines", &own_cgroup().unwrap().path);
    for other in [&b"READY=0"[..], b"STATUS=READY=1", b"READY=1x", b"WATCHDOG=1\nMAINPID=1\n", b"", &[0xff; 100]] {
        sender.send(other).unwrap();
        assert_eq!(socket.receive().unwrap(), Notification::Other, "{other:?}");
    }
    let mut long = vec![b'\n'; LONGEST];
    long.splice(..7, *b"READY=1");
    for ready in [&b"READY=1"[..], b"STATUS=up\nREADY=1\n", &long] {
        sender.send(ready).unwrap();
        // In the cgroup itself, and in none below it.
        assert_eq!(socket.receive().unwrap(), unknown_sender(), "{ready:?}");
    }
    long.push(b'\n');
    sender.send(&long).unwrap();
    assert_eq!(socket.receive().unwrap(), Notification::Other);
}

#[tokio::test]
async fn descriptors_that_come_along_are_closed() {
    let (socket, sender) = pair("barrier", &own_cgroup().unwrap().path);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let barrier = [IoSlice::new(b"BARRIER=1")];
    let rights = [writer.as_raw_fd()];
    let control = [ControlMessage::ScmRights(&rights)];
    sendmsg::<()>(sender.as_raw_fd(), &barrier, &control, MsgFlags::empty(), None).unwrap();
    drop(writer);
    assert_eq!(socket.receive().unwrap(), Notification::Other);
    // It would wait if anybody could still write.
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
}

#[tokio::test]
async fn the_name_says_whose_it_is_and_nothing_about_the_next() {
    let (socket, _sender) = pair("name", &own_cgroup().unwrap().path);
    let expected = format!("@llb.name-{}.{}", process::id(), "07".repeat(16));
    assert_eq!(socket.address(), OsStr::new(&expected));
}

#[tokio::test]
async fn it_is_a_file_where_workers_get_at_it() {
    let root = tempfile::tempdir().unwrap();
    std::fs::set_permissions(root.path(), Permissions::from_mode(0o700)).unwrap();
    let (name, cgroup) = ("main".parse().unwrap(), own_cgroup().unwrap().path);
    let runtime = root.path().join("main");
    let open = |others| NotifySocket::open(&name, &runtime, others, &cgroup, [7; 16]).unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert!(open(true).address().as_bytes().starts_with(b"@"), "nobody else gets into it");
    // As a master that was killed leaves it.
    let left = std::mem::ManuallyDrop::new(open(false));
    let socket = open(false);
    assert_eq!(socket.address(), left.address());
    let path = std::path::PathBuf::from(socket.address());
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o666, 0o711));
    UnixDatagram::unbound().unwrap().send_to(b"READY=1", &path).unwrap();
    assert_eq!(socket.receive().unwrap(), unknown_sender());
    drop(socket);
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_is_a_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
        says_ready(&text);
    }
}
