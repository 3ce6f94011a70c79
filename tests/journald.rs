//! The log in the systemd journal: entries with fields, where standard error is connected to it.

use std::{collections::BTreeMap, fs, os::unix::net::UnixDatagram, path::Path};

use crate::harness::{DEADLINE, Launcher, Stage, stage::fixture};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Says that standard error is the journal, as systemd does.
const CONNECTED: &str = r#"JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2) exec "$0" "$@""#;

/// Says so of another one.
const LED_ELSEWHERE: &str = r#"JOURNAL_STREAM=1:1 exec "$0" "$@""#;

/// A journal that is this thread's alone, and that of what it starts.
fn journal() -> UnixDatagram {
    unshare(CloneFlags::CLONE_NEWNS).expect("root");
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("root");
    mount(Some("run"), "/run", Some("tmpfs"), MsFlags::empty(), none).expect("root");
    let directory = Path::new("/run/systemd/journal");
    fs::create_dir_all(directory).expect("a directory");
    let journal = UnixDatagram::bind(directory.join("socket")).expect("a socket");
    journal.set_read_timeout(Some(DEADLINE)).expect("a socket");
    journal
}

/// The next entry's fields, of which none has more than one line.
#[track_caller]
fn next(journal: &UnixDatagram) -> BTreeMap<String, String> {
    let mut bytes = [0; 1 << 16];
    let length = journal.recv(&mut bytes).expect("an entry");
    let text = String::from_utf8(bytes[..length].to_vec()).expect("UTF-8");
    let field = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    text.lines().map(|line| field(line).unwrap_or_else(|| panic!("{line}"))).collect()
}

/// The next entry of an event.
#[track_caller]
fn next_of(journal: &UnixDatagram, event: &str) -> BTreeMap<String, String> {
    loop {
        let entry = next(journal);
        assert_eq!(entry["SYSLOG_IDENTIFIER"], "llb", "{entry:?}");
        if entry["LLB_EVENT"] == event {
            return entry;
        }
    }
}

fn by(script: &str) -> Launcher {
    Launcher { wrapper: ["sh", "-c", script].map(str::to_owned).to_vec(), ..Launcher::default() }
}

#[test]
fn the_journal_gets_events_with_fields() {
    let stage = Stage::new();
    let journal = journal();
    let command = ["node", &fixture("server.js"), "8080"];
    let fleet =
        crate::harness::Fleet::launch_by(&by(CONNECTED), stage.path(), &["-n", "2", "--respawn", "1ms"], &command);
    let up = next_of(&journal, "up");
    assert_eq!((up["PRIORITY"].as_str(), up.get("LLB_SLOT")), ("6", None), "{up:?}");
    let victim = fleet.worker(1).pid;
    kill(Pid::from_raw(victim.cast_signed()), Signal::SIGKILL).expect("a worker");
    let exited = next_of(&journal, "exited");
    assert_eq!(exited["LLB_SLOT"], "1", "{exited:?}");
    assert_eq!(exited["LLB_PID"], victim.to_string(), "{exited:?}");
    assert_eq!(exited["LLB_GENERATION"], "1", "{exited:?}");
    assert!(exited["MESSAGE"].starts_with("slot 1: exited: ") && exited["MESSAGE"].contains("SIGKILL"), "{exited:?}");
    let ended = fleet.stop();
    assert_eq!(next_of(&journal, "down")["PRIORITY"], "6");
    assert_eq!(ended.stderr, "", "the journal has it all");
}

#[test]
fn other_streams_get_words() {
    let stage = Stage::new();
    let journal = journal();
    let command = ["node", &fixture("server.js"), "8080"];
    let fleet = stage.start_by(&by(LED_ELSEWHERE), &["-n", "1"], &command);
    assert!(fleet.stop().stderr.starts_with("llb: serving "));
    journal.set_nonblocking(true).expect("a socket");
    assert!(journal.recv(&mut [0; 1]).is_err(), "nothing was entered");
}

/// A journal that is not there keeps nothing back.
#[test]
fn without_the_journal_its_stream_gets_words() {
    let stage = Stage::new();
    drop(journal());
    fs::remove_file("/run/systemd/journal/socket").expect("a socket");
    let command = ["node", &fixture("server.js"), "8080"];
    let fleet = stage.start_by(&by(CONNECTED), &["-n", "1"], &command);
    assert!(fleet.stop().stderr.contains("llb: down: "));
}
