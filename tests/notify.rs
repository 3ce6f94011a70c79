//! Readiness by sd_notify(3): of workers to llb, and of llb to systemd.

use std::{
    os::linux::net::SocketAddrExt,
    os::unix::net::{SocketAddr, UnixDatagram},
    time::Duration,
};

use crate::harness::{
    Fleet, Launcher, Stage, get, holds_within, proc::variable, stage::fixture, stopped::Stopped, until,
};
use llb::now;
use nix::{sys::signal::Signal, unistd::Pid};

const ADDR: &str = "127.0.0.1:8080";

/// Long enough for what must not happen to happen, if it does.
const QUIET: Duration = Duration::from_millis(300);

fn launch(stage: &Stage, args: &[&str]) -> Fleet {
    stage.launch(args, &["python3", &fixture("notify.py"), "127.0.0.1", "8080"])
}

fn state(fleet: &Fleet, slot: u32) -> String {
    fleet.worker(slot).state
}

/// Waits until the workers can be told what to notify.
fn wait_for_workers(stage: &Stage, slots: u32) {
    until("the workers run", || (0..slots).all(|slot| stage.path().join(format!("worker.{slot}")).exists()));
}

#[test]
fn ready_by_sd_notify_is_as_good_as_by_the_channel() {
    let stage = Stage::new();
    let fleet = launch(&stage, &["-n", "2", "--ready-when", "ready", "--user", "root"]);
    wait_for_workers(&stage, 2);
    stage.tell(0, "send STATUS=READY=1|MAINPID=1|WATCHDOG=1|STOPPING=1|RELOADING=1|READY=0|READY=11");
    stage.tell(0, "send READY=1 ");
    assert!(!holds_within(QUIET, || state(&fleet, 0) != "starting"), "other states make no worker ready");

    stage.tell(1, "send READY=1");
    until("the second is ready", || state(&fleet, 1) == "serving");
    assert_eq!(state(&fleet, 0), "starting", "each speaks for itself");
    assert_eq!(get(ADDR, "/").slot(), 1);

    stage.tell(0, "send STATUS=up|READY=1|");
    fleet.wait_until_serving();
    assert_eq!(fleet.status().notify_unknown_senders, 0);
    assert_eq!(fleet.worker(0).reports.len(), 0, "nothing was said on the channel");
}

/// A connection to the workers' socket from this very process, which is no worker.
fn unknown_sender(fleet: &Fleet) -> UnixDatagram {
    let worker = Pid::from_raw(fleet.worker(0).pid.cast_signed());
    let address = variable(worker, "NOTIFY_SOCKET").unwrap();
    let socket = UnixDatagram::unbound().unwrap();
    socket.connect(address).unwrap();
    socket
}

#[test]
fn an_unknown_sender_makes_nobody_ready_and_is_counted() {
    let stage = Stage::new();
    let fleet = launch(&stage, &["-n", "1", "--ready-when", "ready"]);
    wait_for_workers(&stage, 1);
    let socket = unknown_sender(&fleet);
    for _ in 0..3 {
        socket.send(b"READY=1").unwrap();
    }
    until("all have been seen", || fleet.status().notify_unknown_senders == 3);
    assert_eq!(state(&fleet, 0), "starting");
    let said = || fleet.stderr().matches("a process that is no worker's").count();
    until("it is said", || said() > 0);
    stage.tell(0, "send READY=1");
    fleet.wait_until_serving();
    assert_eq!(said(), 1, "{}", fleet.stderr());
}

#[test]
fn a_flood_harms_nobody() {
    let stage = Stage::new();
    let fleet = launch(&stage, &["-n", "2", "--ready-when", "ready"]);
    wait_for_workers(&stage, 2);
    let sender = unknown_sender(&fleet);
    sender.set_nonblocking(true).unwrap();
    let begun = now();
    stage.tell(0, "flood 3");
    // Garbage of every length as well.
    for length in (0..4_000).step_by(97) {
        let _ = sender.send(&vec![0xff; length]);
    }
    stage.tell(1, "send READY=1");
    until("the other is ready", || state(&fleet, 1) == "serving");
    for _ in 0..20 {
        assert_eq!(get(ADDR, "/").slot(), 1);
    }
    assert!(now().since(begun) < 3_000_000_000, "it still floods");
    // When it has ended it is heard as well.
    stage.tell(0, "send READY=1");
    fleet.wait_until_serving();
}

#[test]
fn a_shell_script_says_it_by_systemd_notify() {
    let stage = Stage::new();
    stage.open_to_all();
    let script = "python3 $STAGE/asyncio_server.py 127.0.0.1 8080 & server=$!; trap 'wait $server; exit' TERM; \
                  touch $STAGE/worker.$WORKER_ID; until [ -e $STAGE/go ]; do sleep 0.02; done; systemd-notify --ready; wait $server";
    let args = ["-n", "2", "--ready-when", "ready", "--user", "nobody"];
    let fleet = stage.launch(&args, &["sh", "-c", script]);
    wait_for_workers(&stage, 2);
    assert!(!holds_within(QUIET, || fleet.status().workers.iter().any(|worker| worker.state != "starting")));
    stage.write("go", "");
    fleet.wait_until_serving();
    fleet.wait_for_groups(&[ADDR], 2);
}

#[test]
fn who_is_ready_when_started_is_chosen_as_soon_as_it_listens() {
    let stage = Stage::new();
    let script = "until [ -e $STAGE/go ]; do sleep 0.02; done; exec python3 \"$0\" 127.0.0.1 8080";
    let args = ["-n", "2", "--ready-when", "started", "--ready-timeout", "100ms"];
    let fleet = stage.start(&args, &["sh", "-c", script, &fixture("asyncio_server.py")]);
    assert!(!holds_within(QUIET, || fleet.status().workers.iter().any(|worker| worker.restarts > 0)));
    assert!(fleet.status().groups.is_empty());
    stage.write("go", "");
    fleet.wait_for_groups(&[ADDR], 2);
    get(ADDR, "/").slot();
}

/// systemd, as far as a service can tell: a socket, and the time that its watchdog gives.
struct Systemd {
    socket: UnixDatagram,
    heard: std::cell::RefCell<Vec<String>>,
}

impl Systemd {
    /// Listens at `address`: a path, or a name after an `@`.
    fn listen(address: &str) -> Self {
        let socket = match address.strip_prefix('@') {
            Some(name) => UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap(),
            None => UnixDatagram::bind(address).unwrap(),
        };
        socket.set_nonblocking(true).unwrap();
        Systemd { socket, heard: Vec::new().into() }
    }

    fn launcher(address: &str, more: &[(&str, &str)]) -> Launcher {
        let variables = [("NOTIFY_SOCKET", address)];
        let env = variables.iter().chain(more).map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Launcher { env, ..Launcher::default() }
    }

    /// All that has been said so far.
    fn heard(&self) -> Vec<String> {
        let mut text = [0; 1024];
        while let Ok(length) = self.socket.recv(&mut text) {
            self.heard.borrow_mut().push(String::from_utf8_lossy(&text[..length]).into_owned());
        }
        self.heard.borrow().clone()
    }

    fn count(&self, message: &str) -> usize {
        self.heard().iter().filter(|heard| *heard == message).count()
    }

    #[track_caller]
    fn wait_for(&self, message: &str) {
        until(message, || self.count(message) > 0);
    }
}

#[test]
fn systemd_is_told_when_the_fleet_serves_reloads_and_ends() {
    let stage = Stage::new();
    // A path, as systemd gives one to services; no worker may speak in llb's name.
    let address = stage.path().join("systemd").display().to_string();
    let systemd = Systemd::listen(&address);
    let by = Systemd::launcher(&address, &[]);
    let command = ["python3", &fixture("notify.py"), "127.0.0.1", "8080"];
    let fleet = Fleet::launch_by(&by, stage.path(), &["-n", "2", "--ready-when", "ready"], &command);
    wait_for_workers(&stage, 2);
    stage.tell(0, "send READY=1");
    systemd.wait_for("STATUS=1 of 2 workers serve on 127.0.0.1:8080");
    assert_eq!(systemd.count("READY=1"), 0, "{:?}", systemd.heard());
    stage.tell(1, "send READY=1");
    systemd.wait_for("STATUS=2 of 2 workers serve on 127.0.0.1:8080");
    systemd.wait_for("READY=1");
    fleet.wait_until_serving();

    let begun = now().0 / 1_000;
    fleet.signal(Signal::SIGHUP);
    let reloading = || systemd.heard().into_iter().find(|heard| heard.starts_with("RELOADING=1\nMONOTONIC_USEC="));
    until("a reload has begun", || reloading().is_some());
    let at: u64 = reloading().unwrap().rsplit('=').next().unwrap().parse().unwrap();
    assert!(begun <= at && at <= now().0 / 1_000, "systemd drops what is older than its own signal");
    systemd.wait_for("STATUS=2 of 2 workers serve on 127.0.0.1:8080, generation 2 is starting");
    assert_eq!(systemd.count("READY=1"), 1, "{:?}", systemd.heard());
    for slot in 0..2 {
        until("it is the new one that says so", || {
            stage.tell(slot, "send READY=1");
            fleet
                .status()
                .workers
                .iter()
                .any(|worker| worker.slot == slot && worker.generation == 2 && worker.state == "serving")
        });
    }
    until("the reload is over", || systemd.count("READY=1") == 2);

    assert_eq!(fleet.stop().code, Some(0));
    let heard = systemd.heard();
    assert_eq!((systemd.count("READY=1"), systemd.count("STOPPING=1")), (2, 1), "{heard:?}");
    assert_eq!(systemd.count("WATCHDOG=1"), 0, "nobody asked for it: {heard:?}");
}

#[test]
fn the_watchdog_hears_from_the_loop_and_from_nobody_else() {
    let stage = Stage::new();
    let address = format!("@llb-systemd-{}", std::process::id());
    let systemd = Systemd::listen(&address);
    let by = Systemd::launcher(&address, &[("WATCHDOG_USEC", "200000")]);
    let fleet = stage.start_by(&by, &["-n", "1"], &["python3", &fixture("asyncio_server.py"), "127.0.0.1", "8080"]);
    let begun = now();
    let before = systemd.count("WATCHDOG=1");
    until("three signs of life", || systemd.count("WATCHDOG=1") >= before + 3);
    assert!(now().since(begun) >= 200_000_000, "one each 100 ms");

    let stopped = Stopped::stop(fleet.pid());
    systemd.heard();
    let before = systemd.count("WATCHDOG=1");
    assert!(!holds_within(QUIET, || systemd.count("WATCHDOG=1") > before), "a loop that hangs gives none");
    drop(stopped);
    until("it lives again", || systemd.count("WATCHDOG=1") > before);
}

#[test]
fn a_systemd_that_does_not_read_holds_up_nothing() {
    let stage = Stage::new();
    let address = format!("@llb-deaf-{}", std::process::id());
    let _systemd = Systemd::listen(&address);
    // More signs of life than the socket holds.
    let by = Systemd::launcher(&address, &[("WATCHDOG_USEC", "20000")]);
    let fleet = stage.start_by(&by, &["-n", "1"], &["python3", &fixture("asyncio_server.py"), "127.0.0.1", "8080"]);
    assert!(!holds_within(QUIET, || fleet.status().workers.len() != 1));
    assert_eq!(get(ADDR, "/").slot(), 0);
    assert_eq!(fleet.stop().code, Some(0));
}
