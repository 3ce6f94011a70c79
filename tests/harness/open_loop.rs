//! An open-loop load: requests that come when they are due, whatever became of those before.

use std::{thread, time::Duration};

use llb::{internals::clock, model::Instant};

use super::{Answer, try_get};

/// What became of one request, on a connection of its own.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Before its first packet went out.
    pub begun: Instant,
    /// When all was over.
    pub ended: Instant,
    /// The answer; none if the connection ended without.
    pub answer: Option<Answer>,
}

impl Sample {
    /// The worker that answered it.
    pub(crate) fn slot(&self) -> Option<u32> {
        self.answer.as_ref()?.named_slot()
    }
}

/// Makes `count` requests, one `every` so often; the path by the request's turn.
pub(crate) fn open_loop(addr: &str, every: Duration, count: u32, path: impl Fn(u32) -> String) -> Vec<Sample> {
    thread::scope(|scope| {
        let first = clock::now();
        let asking: Vec<_> = (0..count)
            .map(|turn| {
                let path = path(turn);
                let due = first.after(every * turn);
                thread::sleep(Duration::from_nanos(due.since(clock::now())));
                scope.spawn(move || ask(addr, &path))
            })
            .collect();
        asking.into_iter().map(|asking| asking.join().expect("a request that ends")).collect()
    })
}

fn ask(addr: &str, path: &str) -> Sample {
    let begun = clock::now();
    let answer = try_get(addr, path).ok();
    Sample { begun, ended: clock::now(), answer }
}
