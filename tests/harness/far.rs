//! A second network namespace, joined to the test's own by a line: where distant clients are, and hostile ones.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc::{Sender, channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::unistd::{Pid, gettid};

use super::{netns::Netns, stage::fixture};

/// The address of the test's own end of the line.
pub(crate) const NEAR: &str = "10.9.0.1";
/// The address of the other end.
pub(crate) const FAR: &str = "10.9.0.2";

/// The names of both ends' devices.
const DEVICES: [&str; 2] = ["near", "far"];

type Job = Box<dyn FnOnce() + Send>;

/// A thread in the other namespace, and the line that leads there.
#[derive(Debug)]
pub(crate) struct Far {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    relay: Option<Relay>,
}

/// The process that makes the line long.
#[derive(Debug)]
struct Relay(Child);

impl Far {
    /// At the other end of a cable.
    pub(crate) fn adjacent() -> Self {
        ip(&["link", "add", DEVICES[0], "type", "veth", "peer", "name", DEVICES[1]]);
        Self::beyond(None)
    }

    /// At the other end of a line on which each packet takes `delay`, either way.
    pub(crate) fn distant(delay: Duration) -> Self {
        let mut relay = Command::new("python3");
        relay.arg(fixture("relay.py")).arg(delay.as_millis().to_string()).args(DEVICES);
        let mut relay = Relay(relay.stdout(Stdio::piped()).spawn().expect("python3"));
        let mut ready = String::new();
        let stdout = relay.0.stdout.take().expect("a piped stdout");
        BufReader::new(stdout).read_line(&mut ready).expect("the relay's word");
        assert_eq!(ready, "ready\n", "the relay has no TUN devices");
        Self::beyond(Some(relay))
    }

    fn beyond(relay: Option<Relay>) -> Self {
        let (jobs, queue) = channel::<Job>();
        let (tell, told) = channel::<Pid>();
        let thread = thread::spawn(move || {
            let _netns = Netns::enter();
            tell.send(gettid()).expect("who waits for it");
            queue.into_iter().for_each(|job| job());
        });
        let there = told.recv().expect("a namespace").to_string();
        let far = Far { jobs: Some(jobs), thread: Some(thread), relay };
        ip(&["link", "set", DEVICES[1], "netns", &there]);
        bring_up(DEVICES[0], NEAR);
        far.run(|| bring_up(DEVICES[1], FAR));
        far
    }

    /// Does something there, and waits for what comes of it.
    #[track_caller]
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, told) = channel();
        let job = Box::new(move || drop(tell.send(job())));
        self.jobs.as_ref().expect("a queue until the end").send(job).expect("a thread that takes it");
        told.recv().expect("a job that did not panic")
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        // First, as the namespace takes its device along.
        drop(self.relay.take());
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // What it panicked of has been said by `run`.
            let _ = thread.join();
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It keeps nothing but its devices, which end with it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What `ip` does in the calling thread's namespace.
#[track_caller]
pub(crate) fn ip(args: &[&str]) {
    let output = Command::new("ip").args(args).output().expect("ip, of iproute2");
    assert!(output.status.success(), "ip {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[track_caller]
fn bring_up(device: &str, addr: &str) {
    ip(&["address", "add", &format!("{addr}/24"), "dev", device]);
    ip(&["link", "set", device, "up"]);
}
