//! In a terminal: what it does to jobs is llb's to bear, never a worker's.

use std::{
    fs,
    fs::File,
    io::{Read, Write},
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    process::Command,
};

use nix::{
    fcntl::OFlag,
    libc,
    pty::{grantpt, posix_openpt, ptsname_r, unlockpt},
    sys::signal::Signal,
    unistd::{Pid, getsid},
};

use crate::harness::{Client, Fleet, Launcher, Stage, stage::fixture, stopped::is_stopped, until};

/// Says into its terminal that it goes on, and notes it where no terminal is needed. Notes interrupts and hang-ups, and
/// ends when it is told to.
const TALKER: &str = r#"
    trap 'echo INT > $STAGE/heard.$WORKER_ID' INT
    trap 'echo HUP > $STAGE/heard.$WORKER_ID' HUP
    trap 'exit 0' TERM
    while :; do
        echo "worker $WORKER_ID writes"
        stty -onlcr <&1; stty onlcr <&1
        (read line < /dev/tty) 2>> $STAGE/refused.$WORKER_ID || :
        echo x >> $STAGE/goes-on.$WORKER_ID
        sleep 0.02
    done"#;

/// A terminal, as one sits before it. Dropping it hangs it up.
struct Terminal {
    user: File,
    path: PathBuf,
    shown: String,
}

impl Terminal {
    fn open() -> Self {
        let user = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).expect("a pty");
        grantpt(&user).expect("a pty of our own");
        unlockpt(&user).expect("a pty of our own");
        let path = ptsname_r(&user).expect("a name").into();
        let user = File::from(user.as_fd().try_clone_to_owned().expect("a copy"));
        Terminal { user, path, shown: String::new() }
    }

    /// Starts something in a session of its own on this terminal.
    fn launcher(&self, wrapper: &[&str]) -> Launcher {
        let words = ["setsid", "--ctty"].iter().chain(wrapper).map(|word| (*word).to_owned());
        Launcher { wrapper: words.collect(), terminal: Some(self.path.clone()), ..Launcher::default() }
    }

    /// Has it stop background jobs that write to it.
    fn stop_who_writes_in_the_background(&self) {
        // Opening it must not make it the terminal of this test.
        let terminal = File::options().read(true).write(true).custom_flags(libc::O_NOCTTY).open(&self.path);
        let set = Command::new("stty").arg("tostop").stdin(terminal.expect("a terminal")).status().expect("stty");
        assert!(set.success());
    }

    fn press(&mut self, key: u8) {
        self.user.write_all(&[key]).expect("a terminal that takes keys");
    }

    /// Waits until it shows this.
    #[track_caller]
    fn shows(&mut self, text: &str) {
        until("the terminal shows it", || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = self.user.read(&mut bytes) {
                self.shown.push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
            self.shown.contains(text)
        });
    }
}

/// The key that interrupts.
const CTRL_C: u8 = 3;

fn rounds(stage: &Stage, slot: u32) -> usize {
    fs::read(stage.path().join(format!("goes-on.{slot}"))).map_or(0, |rounds| rounds.len())
}

#[track_caller]
fn assert_goes_on(stage: &Stage, slots: u32) {
    for slot in 0..slots {
        let before = rounds(stage, slot);
        until("a worker goes on", || rounds(stage, slot) > before + 4);
    }
}

#[track_caller]
fn assert_heard_nothing(stage: &Stage, slots: u32) {
    for slot in 0..slots {
        let heard = fs::read_to_string(stage.path().join(format!("heard.{slot}")));
        assert!(heard.is_err(), "worker {slot} has heard {heard:?}");
    }
}

fn launch(stage: &Stage, by: &Launcher) -> Fleet {
    Fleet::launch_by(by, stage.path(), &["-n", "2", "--ready-when", "started"], &["sh", "-c", TALKER])
}

#[test]
fn ctrl_c_reaches_llb_alone() {
    // In a shell script it is in the foreground with the script.
    for wrapper in [&[][..], &["sh", "-c", "\"$@\"; exit $?", "script"]] {
        let stage = Stage::new();
        let mut terminal = Terminal::open();
        let fleet = launch(&stage, &terminal.launcher(wrapper));
        fleet.wait_until_serving();
        terminal.shows("worker 1 writes");
        assert_goes_on(&stage, 2);
        terminal.press(CTRL_C);
        let ended = fleet.wait();
        if wrapper.is_empty() {
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        }
        assert_heard_nothing(&stage, 2);
    }
}

#[test]
fn workers_that_use_the_terminal_are_never_stopped() {
    let stage = Stage::new();
    let mut terminal = Terminal::open();
    terminal.stop_who_writes_in_the_background();
    let fleet = launch(&stage, &terminal.launcher(&[]));
    fleet.wait_until_serving();
    for slot in 0..2 {
        terminal.shows(&format!("worker {slot} writes"));
    }
    assert_goes_on(&stage, 2);
    for worker in fleet.status().workers {
        assert!(!is_stopped(Pid::from_raw(worker.pid.cast_signed())));
    }
    let refused = fs::read_to_string(stage.path().join("refused.0")).expect("what the shell says");
    assert!(refused.contains("/dev/tty"), "a worker has read the terminal: {refused}");
    assert_eq!(fleet.stop().code, Some(0));
}

#[test]
fn llb_itself_writes_from_the_background() {
    let stage = Stage::new();
    let mut terminal = Terminal::open();
    terminal.stop_who_writes_in_the_background();
    // A shell with job control, which tells llb to end when it is told so itself.
    let shell = "set -m; \"$@\" 2> /dev/tty & trap \"kill $!\" TERM; wait; wait $!";
    let fleet = launch(&stage, &terminal.launcher(&["bash", "-c", shell, "shell"]));
    terminal.shows("llb: serving");
    assert_goes_on(&stage, 2);
    let status = fleet.status();
    assert_eq!(status.slots.len(), 2, "a signal to write no more has been taken for a wish");
    assert!(!is_stopped(Pid::from_raw(status.pid.cast_signed())));
    assert_eq!(fleet.stop().code, Some(0));
    assert_heard_nothing(&stage, 2);
}

#[test]
fn a_terminal_that_is_gone_ends_the_fleet_in_order() {
    let stage = Stage::new();
    let mut terminal = Terminal::open();
    let fleet = launch(&stage, &terminal.launcher(&[]));
    fleet.wait_until_serving();
    terminal.shows("worker 1 writes");
    drop(terminal);
    assert_eq!(fleet.wait().code, Some(0));
    assert_heard_nothing(&stage, 2);
}

#[test]
fn nohup_lets_the_fleet_outlive_its_terminal() {
    let stage = Stage::new();
    let terminal = Terminal::open();
    let directory = stage.path().to_str().expect("a path in UTF-8");
    // It writes nohup.out where it is.
    let by = terminal.launcher(&["env", "-C", directory, "nohup"]);
    let server = fixture("asyncio_server.py");
    let fleet = stage.start_by(&by, &["-n", "2", "-p", "8080"], &["python3", &server, "127.0.0.1", "8080"]);
    let before = [fleet.worker(0).pid, fleet.worker(1).pid];
    let mut client = Client::connect("127.0.0.1:8080");
    client.send("/");
    client.receive();
    drop(terminal);
    until("llb has no terminal", || !has_terminal(fleet.pid()));
    client.send("/");
    assert_eq!(client.receive().status, 200);
    assert_eq!([fleet.worker(0).pid, fleet.worker(1).pid], before);
    assert_eq!(fleet.stop().code, Some(0));
}

/// Whether a process has a terminal: the seventh field of its stat, 0 without one.
fn has_terminal(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses");
    fields.split(' ').nth(4) != Some("0")
}

#[test]
fn workers_share_the_scheduling_group_of_llb() {
    let stage = Stage::new();
    let mut terminal = Terminal::open();
    let fleet = launch(&stage, &terminal.launcher(&[]));
    fleet.wait_until_serving();
    terminal.shows("worker 1 writes");
    // A kernel that makes no groups of its own has no such file.
    let group = |pid: Pid| fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("autogroup")).ok();
    for worker in fleet.status().workers {
        let worker = Pid::from_raw(worker.pid.cast_signed());
        assert_eq!(group(worker), group(fleet.pid()));
        assert_eq!(getsid(Some(worker)), getsid(Some(fleet.pid())));
        assert!(has_terminal(fleet.pid()) && !has_terminal(worker));
    }
    // Without a terminal a hang-up is a wish for a new generation: it has one.
    fleet.signal(Signal::SIGHUP);
    until("it has reloaded", || fleet.status().generation == 2);
    assert_eq!(fleet.stop().code, Some(0));
}
