//! The control socket takes anything from anyone: llb serves on, and answers those who may ask.

use std::{
    fs,
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::PathBuf,
    process::Command,
};

use crate::harness::{DEADLINE, Fleet, Stage, get, stage::fixture};

const ADDR: &str = "127.0.0.1:8080";
const STATUS: &str = "{\"cmd\":\"status\"}\n";

fn start(stage: &Stage) -> Fleet {
    stage.start(&["-n", "1"], &["python3", &fixture("asyncio_server.py"), "127.0.0.1", "8080"])
}

fn socket(fleet: &Fleet) -> PathBuf {
    fleet.runtime_dir().join(fleet.name()).join("control")
}

fn connect(fleet: &Fleet) -> UnixStream {
    let stream = UnixStream::connect(socket(fleet)).expect("the control socket");
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn answer(stream: &UnixStream) -> String {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("an answer");
    line
}

#[test]
fn garbage_is_refused_line_by_line() {
    let stage = Stage::new();
    let fleet = start(&stage);
    for line in ["\n", "hello\n", "{}\n", "{\"cmd\":\"dance\"}\n", "[[[[\n", "7\n"] {
        let mut stream = connect(&fleet);
        stream.write_all(line.as_bytes()).unwrap();
        assert!(answer(&stream).starts_with("{\"error\":"), "{line}");
        stream.write_all(STATUS.as_bytes()).unwrap();
        assert!(answer(&stream).contains("\"workers\""), "after {line}");
    }
    // What is not even text, and what never ends: the connection may be closed, and no other.
    for bytes in [vec![0xff; 100], vec![b'x'; 1 << 20], [vec![0xff; 9000], vec![b'\n']].concat()] {
        let mut stream = connect(&fleet);
        match stream.write_all(&bytes) {
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}")
            }
            Ok(()) => drop(stream.shutdown(std::net::Shutdown::Write)),
        }
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.len() < 1 << 20);
        assert!(fleet.status().up);
    }
    assert_eq!(get(ADDR, "/").slot(), 0);
}

#[test]
fn askers_that_never_ask_are_in_nobodys_way() {
    let stage = Stage::new();
    let fleet = start(&stage);
    // More than llb has descriptors for, if it kept them all.
    let idle: Vec<UnixStream> = (0..1200).map(|_| connect(&fleet)).collect();
    assert!(fleet.status().up);
    let half: Vec<UnixStream> = (0..50)
        .map(|_| {
            let mut stream = connect(&fleet);
            stream.write_all(b"{\"cmd\":").unwrap();
            stream
        })
        .collect();
    assert!(fleet.status().up);
    assert_eq!(get(ADDR, "/").slot(), 0);
    drop((idle, half));
    let ended = fleet.stop();
    assert_eq!(ended.code, Some(0));
    assert!(!ended.stderr.contains("cannot accept"), "{}", ended.stderr);
}

#[test]
fn two_hundred_ask_at_once() {
    let stage = Stage::new();
    let fleet = start(&stage);
    let mut askers: Vec<UnixStream> = (0..200).map(|_| connect(&fleet)).collect();
    for asker in &mut askers {
        asker.write_all(STATUS.as_bytes()).unwrap();
    }
    for asker in &askers {
        assert!(answer(asker).contains("\"workers\""));
    }
    // One that asks and does not read fills only its own connection.
    let mut deaf = connect(&fleet);
    deaf.set_nonblocking(true).unwrap();
    while deaf.write_all(STATUS.as_bytes()).is_ok() {}
    assert!(fleet.status().up);
}

#[test]
fn only_its_owner_may_ask() {
    let stage = Stage::new();
    let fleet = start(&stage);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let socket = socket(&fleet);
    assert_eq!(mode(&socket), 0o600);
    assert_eq!(mode(socket.parent().unwrap()), 0o700);
    // Even if somebody opens the door, llb looks who comes in.
    for (path, open) in [(fleet.runtime_dir(), 0o755), (socket.parent().unwrap(), 0o755), (&socket, 0o666)] {
        fs::set_permissions(path, fs::Permissions::from_mode(open)).unwrap();
    }
    let ask = "import socket, sys\n\
               s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect(sys.argv[1])\n\
               try: s.sendall(b'{\"cmd\":\"status\"}\\n'); print(len(s.recv(100)))\n\
               except OSError: print(0)\n";
    let other_user = |uid: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", uid, "--clear-groups", "/usr/bin/python3", "-c", ask]).arg(&socket);
        let output = command.output().expect("setpriv and python3");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(other_user("65534"), "0\n");
    assert_eq!(other_user("0"), "100\n");
    assert!(fleet.stop().stderr.contains("refused on the control socket"));
}
