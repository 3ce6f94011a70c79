//! A load that goes on until it is told to end: new connections at a rate, and clients who keep theirs alive.

use std::{
    collections::BTreeMap,
    io,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};

use llb::internals::clock;
use llb_kit::stop::StopOnDrop;

use super::{Answer, Client};

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steady<'a> {
    pub address: &'a str,
    /// New connections a second, a request each, whatever became of those before.
    pub rate: u32,
    /// Threads that make them.
    pub threads: u32,
    /// Clients who keep their connection alive.
    pub keepers: u32,
    /// What these do between two requests.
    pub think: Duration,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Connections that were made.
    pub made: AtomicU64,
    /// Requests that were answered, each on a connection of its own.
    pub answered: AtomicU64,
    /// Requests that were answered on connections that were kept.
    pub kept: AtomicU64,
    /// Connections that were found closed before a request was sent.
    pub reopened: AtomicU64,
    /// Requests that crossed with the close of a connection that was kept, and were sent once more on a new one, as RFC 9110
    /// (9.2.2) and RFC 9112 (9.3.1) have it: not a byte of an answer had come.
    pub crossed: AtomicU64,
    /// What failed, by what it said.
    errors: std::sync::Mutex<BTreeMap<String, u64>>,
}

impl Seen {
    /// What failed.
    pub(crate) fn errors(&self) -> BTreeMap<String, u64> {
        self.errors.lock().expect("no panic").clone()
    }

    fn failed(&self, what: &str, error: &io::Error) {
        *self.errors.lock().expect("no panic").entry(format!("{what}: {error}")).or_default() += 1;
    }
}

/// Runs the load while `during` runs.
pub(crate) fn steady<T>(load: Steady<'_>, during: impl FnOnce(&Seen) -> T) -> (Seen, T) {
    steady_at(load, "/", during)
}

/// The same; those who keep their connections ask for `path`.
pub(crate) fn steady_at<T>(load: Steady<'_>, path: &str, during: impl FnOnce(&Seen) -> T) -> (Seen, T) {
    let (seen, over) = (Seen::default(), AtomicBool::new(false));
    let result = thread::scope(|scope| {
        for thread in 0..load.threads {
            let (seen, over) = (&seen, &over);
            scope.spawn(move || connect_again_and_again(load, thread, seen, over));
        }
        for keeper in 0..load.keepers {
            let (seen, over) = (&seen, &over);
            scope.spawn(move || keep_alive(load, path, keeper, seen, over));
        }
        let _end = StopOnDrop(&over);
        during(&seen)
    });
    (seen, result)
}

fn connect_again_and_again(load: Steady<'_>, thread: u32, seen: &Seen, over: &AtomicBool) {
    let between = Duration::from_secs(1) * load.threads / load.rate;
    let mut due = clock::now().after(between * thread / load.threads);
    while !over.load(Relaxed) {
        thread::sleep(Duration::from_nanos(due.since(clock::now())));
        due = due.after(between);
        match ask(load.address, seen) {
            Ok(answer) if answer.status == 200 => drop(seen.answered.fetch_add(1, Relaxed)),
            Ok(answer) => seen.failed("an answer", &io::Error::other(answer.status.to_string())),
            Err(error) => seen.failed("a new connection", &error),
        }
    }
}

fn ask(address: &str, seen: &Seen) -> io::Result<Answer> {
    let mut client = Client::try_connect(address)?;
    seen.made.fetch_add(1, Relaxed);
    client.try_send_last("/")?;
    client.try_receive()
}

fn keep_alive(load: Steady<'_>, path: &str, keeper: u32, seen: &Seen, over: &AtomicBool) {
    let mut kept: Option<Client> = None;
    // They must not all think in step.
    thread::sleep(load.think * keeper / load.keepers);
    while !over.load(Relaxed) {
        if kept.as_ref().is_some_and(Client::has_been_closed) {
            seen.reopened.fetch_add(1, Relaxed);
            kept = None;
        }
        let was_kept = kept.is_some();
        match ask_on(load.address, path, &mut kept, seen) {
            Ok(()) => drop(seen.kept.fetch_add(1, Relaxed)),
            Err(Lost::BeforeAnswer(_)) if was_kept => {
                seen.crossed.fetch_add(1, Relaxed);
                kept = None;
                match ask_on(load.address, path, &mut kept, seen) {
                    Ok(()) => drop(seen.kept.fetch_add(1, Relaxed)),
                    Err(Lost::BeforeAnswer(error) | Lost::InAnswer(error)) => seen.failed("once more", &error),
                }
            }
            Err(Lost::BeforeAnswer(error)) => seen.failed("a connection to keep", &error),
            Err(Lost::InAnswer(error)) => seen.failed("in an answer", &error),
        }
        thread::sleep(load.think);
    }
}

enum Lost {
    BeforeAnswer(io::Error),
    InAnswer(io::Error),
}

fn ask_on(address: &str, path: &str, kept: &mut Option<Client>, seen: &Seen) -> Result<(), Lost> {
    if kept.is_none() {
        *kept = Some(Client::try_connect(address).map_err(Lost::BeforeAnswer)?);
        seen.made.fetch_add(1, Relaxed);
    }
    let client = kept.as_mut().expect("it has just been made");
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n");
    let asked = client.try_write(&request).and_then(|()| client.await_byte());
    let answered = match asked {
        Ok(()) => client.try_receive().map(drop).map_err(Lost::InAnswer),
        Err(error) => Err(Lost::BeforeAnswer(error)),
    };
    if answered.is_err() {
        *kept = None;
    }
    answered
}
