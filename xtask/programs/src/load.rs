//! Clients that ask until they are told to end.

use std::{
    collections::BTreeMap,
    net::TcpStream,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use llb_kit::http::has_been_closed;
use serde::{Deserialize, Serialize};

use crate::{
    client::{self, Answer, Lost},
    program::Speaks,
};

/// What the clients saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) answered: AtomicU64,
    slowest_us: AtomicU64,
    lost: Mutex<BTreeMap<String, u64>>,
}

/// The same, when all is over.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) answered: u64,
    pub(crate) crossed: u64,
    pub(crate) lost: BTreeMap<String, u64>,
    pub(crate) slowest: Duration,
}

impl Tally {
    /// Requests that were lost, but for those that crossed with a close.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.values().sum()
    }

    /// Those of them that the program had begun.
    pub(crate) fn in_work(&self) -> u64 {
        ["cut", "torn", "wrong", "unanswered"].iter().map(|kind| self.of(kind)).sum()
    }

    /// Those on new connections that the program closed without reading them.
    pub(crate) fn unread(&self) -> u64 {
        self.of("unread")
    }

    /// Those whose connection nobody took.
    pub(crate) fn refused(&self) -> u64 {
        self.of("refused")
    }

    fn of(&self, kind: &str) -> u64 {
        self.lost.get(kind).copied().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.crossed += other.crossed;
        self.slowest = self.slowest.max(other.slowest);
        for (kind, count) in other.lost {
            *self.lost.entry(kind).or_default() += count;
        }
    }
}

impl Seen {
    fn enter(&self, kept: bool, over: Duration, outcome: Result<Answer, Lost>) -> Option<bool> {
        match outcome {
            Ok(answer) => {
                self.answered.fetch_add(1, Relaxed);
                let beyond = answer.took.saturating_sub(over);
                self.slowest_us.fetch_max(beyond.as_micros() as u64, Relaxed);
                Some(answer.keeps)
            }
            Err(lost) => {
                let name = match lost {
                    Lost::Refused => "refused",
                    // Its server was closing an idle connection, and has read nothing of it. On a connection of its own nothing
                    // can have crossed: the server has closed it unasked.
                    Lost::Crossed | Lost::Unread if kept => "crossed",
                    Lost::Crossed | Lost::Unread => "unread",
                    Lost::Cut => "cut",
                    Lost::Unanswered => "unanswered",
                    Lost::Torn => "torn",
                    Lost::Wrong => "wrong",
                };
                *self.lost.lock().expect("no panic").entry(name.into()).or_default() += 1;
                None
            }
        }
    }

    pub(crate) fn tally(&self) -> Tally {
        let mut lost = self.lost.lock().expect("no panic").clone();
        Tally {
            answered: self.answered.load(Relaxed),
            crossed: lost.remove("crossed").unwrap_or(0),
            lost,
            slowest: Duration::from_micros(self.slowest_us.load(Relaxed)),
        }
    }
}

/// One kind of client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clients {
    pub(crate) count: u32,
    /// What the server is to work for each request.
    pub(crate) work: Duration,
    /// Between an answer and the next request.
    pub(crate) pause: Duration,
    pub(crate) keep: bool,
}

/// Runs these clients while `during` runs.
pub(crate) fn under<T>(
    speaks: &Speaks,
    address: &str,
    clients: &[Clients],
    during: impl FnOnce(&Seen) -> T,
) -> (Tally, T) {
    let (seen, over) = (Seen::default(), AtomicBool::new(false));
    let result = thread::scope(|scope| {
        for clients in clients {
            for number in 0..clients.count {
                let (seen, over) = (&seen, &over);
                scope.spawn(move || {
                    // They must not all ask in step.
                    thread::sleep(clients.pause * number / clients.count);
                    ask_again_and_again(speaks, address, *clients, seen, over);
                });
            }
        }
        let _end = End(&over);
        during(&seen)
    });
    (seen.tally(), result)
}

/// Ends the load, also by a panic: the scope waits for its threads.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

fn ask_again_and_again(speaks: &Speaks, address: &str, clients: Clients, seen: &Seen, over: &AtomicBool) {
    let mut kept: Option<TcpStream> = None;
    while !over.load(Relaxed) {
        if kept.as_ref().is_some_and(has_been_closed) {
            kept = None;
        }
        let was_kept = kept.is_some();
        let outcome = match kept.take().map_or_else(|| open(speaks, address), Ok) {
            Ok(mut stream) => {
                let outcome = ask(speaks, &mut stream, clients);
                if clients.keep && outcome.as_ref().is_ok_and(|answer| answer.keeps) {
                    kept = Some(stream);
                }
                outcome
            }
            Err(lost) => Err(lost),
        };
        if seen.enter(was_kept, clients.work, outcome).is_none() {
            // A refusal comes at once: without a pause one gap would count thousands of times.
            thread::sleep(Duration::from_millis(20));
        }
        thread::sleep(clients.pause);
    }
}

fn open(speaks: &Speaks, address: &str) -> Result<TcpStream, Lost> {
    let mut stream = client::connect(address)?;
    if let Speaks::Lines { greeting, .. } = speaks
        && !greeting.is_empty()
    {
        client::say(&mut stream, b"", greeting)?;
    }
    Ok(stream)
}

fn ask(speaks: &Speaks, stream: &mut TcpStream, clients: Clients) -> Result<Answer, Lost> {
    match speaks {
        Speaks::Http => client::post(stream, &format!("/ms/{}", clients.work.as_millis()), clients.keep),
        Speaks::Files => client::get(stream, "/", clients.keep),
        Speaks::Lines { ask, answer, .. } => client::say(stream, ask, answer),
    }
}
