//! One run: connections come, a worker is chosen, works, answers.

mod work;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use llb_common::{
    abi::{Conn, MAX_SEATS},
    track,
};

use llb_kit::random::Random;

use super::{
    MS, SECOND,
    arrivals::{Arrival, Kind},
    books::Books,
    method::{Method, Peak},
    scenario::{Nature, Scenario},
    worker::{Serving, Worker},
};

/// After this a silent connection closes, ns: what browsers and servers wait at least.
const SILENT_FOR: u64 = 10 * SECOND;

/// What is to happen. At the same moment, in the order in which it was planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    FirstByte(u32),
    Line(u32),
    Close(u32),
    Done { worker: u32, version: u32 },
    Hang(u32, bool),
    Join(u32),
    Publish,
}

/// A connection on its way.
#[derive(Clone, Copy, Debug, Default)]
struct Journey {
    worker: u32,
    conn: Conn,
}

/// What came out of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// From the SYN to the first byte back, ns, of the short requests that were answered, in order of arrival.
    pub(super) short_ns: Vec<u64>,
    /// Of all that were answered.
    pub(super) all_ns: Vec<u64>,
    /// Requests that failed.
    pub(super) failed: usize,
}

struct World<'a> {
    scenario: &'a Scenario,
    method: Method,
    natures: Vec<Nature>,
    arrivals: &'a [Arrival],
    journeys: Vec<Journey>,
    /// Answered after so many ns, by arrival; 0 if it has not been.
    latency_ns: Vec<u64>,
    /// Requests that each worker has been given.
    given: Vec<u32>,
    failed: usize,
    workers: Vec<Worker>,
    joined: Vec<bool>,
    /// One for every [`MAX_SEATS`] workers.
    groups: Vec<Books>,
    peaks: Vec<Peak>,
    /// The requests that no worker has taken yet, if the method is a central queue.
    queue: VecDeque<u32>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    planned: u64,
    random: Random,
}

/// Runs a scenario's arrivals; `seed` is for what the method draws.
pub(super) fn run(scenario: &Scenario, method: Method, arrivals: &[Arrival], seed: u64) -> Outcome {
    let natures = scenario.natures();
    // The ideal works off requests in turn: one that shares each worker is another ideal, and better for no tail.
    let serving = match (method, scenario.serving) {
        (Method::Central, Serving::AllAtOnce) => Serving::InTurn,
        (_, serving) => serving,
    };
    let count = scenario.workers;
    let mut world = World {
        scenario,
        method,
        arrivals,
        journeys: vec![Journey::default(); arrivals.len()],
        latency_ns: vec![0; arrivals.len()],
        given: vec![0; count],
        failed: 0,
        workers: vec![Worker::new(serving); count],
        joined: vec![false; count],
        groups: (0..count.div_ceil(MAX_SEATS)).map(|_| Books::new(MAX_SEATS.min(count))).collect(),
        peaks: vec![Peak::default(); count],
        queue: VecDeque::new(),
        events: BinaryHeap::new(),
        planned: 0,
        random: Random::stream(seed, 2),
        natures,
    };
    world.begin();
    for (index, arrival) in arrivals.iter().enumerate() {
        world.until(arrival.at);
        world.arrive(index as u32, arrival);
    }
    let last = arrivals.last().map_or(0, |arrival| arrival.at);
    // What is still on its way; nothing hangs or floods any more, so that all of it ends.
    world.until(last + 3_600 * SECOND);
    world.outcome()
}

impl World<'_> {
    fn begin(&mut self) {
        for worker in 0..self.workers.len() as u32 {
            let nature = self.natures[worker as usize];
            let joins_at = if nature.joins_late { self.scenario.trouble_at } else { 0 };
            self.plan(joins_at, Event::Join(worker));
            if nature.hangs.is_some() {
                self.plan(self.scenario.trouble_at, Event::Hang(worker, true));
            }
        }
        if self.method.publishes_every().is_some() {
            self.plan(1, Event::Publish);
        }
    }

    fn plan(&mut self, at: u64, event: Event) {
        self.planned += 1;
        self.events.push(Reverse((at, self.planned, event)));
    }

    fn until(&mut self, end: u64) {
        while let Some(Reverse((at, _, event))) = self.events.peek().copied() {
            if at > end {
                return;
            }
            self.events.pop();
            self.happen(event, at);
        }
    }

    fn happen(&mut self, event: Event, now: u64) {
        match event {
            Event::FirstByte(job) => self.first_byte(job, now),
            Event::Line(job) => self.line(job, now),
            Event::Close(job) => self.step(job, now, |conn, now| track::closing(conn, track::Closer::Client, now)),
            Event::Done { worker, version } => {
                if self.workers[worker as usize].version == version {
                    self.done(worker, now);
                }
            }
            Event::Hang(worker, hung) => self.hang(worker, hung, now),
            Event::Join(worker) => {
                self.joined[worker as usize] = true;
                self.group(worker).members.push(worker % MAX_SEATS as u32);
                self.pull(worker, now);
            }
            Event::Publish => self.publish(now),
        }
    }

    fn arrive(&mut self, job: u32, arrival: &Arrival) {
        let now = arrival.at;
        if self.method != Method::Central {
            let group = arrival.hash as usize % self.groups.len();
            let first = group * MAX_SEATS;
            let peaks = &self.peaks[first..self.peaks.len().min(first + MAX_SEATS)];
            let books = &mut self.groups[group];
            let seat = self.method.choose(books, peaks, &mut self.random, now);
            books.charge(seat, now);
            self.journeys[job as usize] =
                Journey { worker: first as u32 + seat, conn: Conn { seat, ..Conn::default() } };
        }
        match arrival.kind {
            Kind::Flood => {}
            Kind::Silent | Kind::Request { .. } | Kind::Kept(_) => {
                self.plan(now + arrival.round_trip_ns, Event::FirstByte(job))
            }
        }
    }

    fn publish(&mut self, now: u64) {
        if self.scenario.master_dies && now >= self.scenario.trouble_at {
            return;
        }
        for (worker, state) in self.workers.iter().enumerate() {
            if state.is_idle() {
                self.groups[worker / MAX_SEATS].saw_waiting((worker % MAX_SEATS) as u32, now);
            }
        }
        for books in &self.groups {
            books.publish(now);
        }
        if now < self.arrivals.last().map_or(0, |last| last.at)
            && let Some(every) = self.method.publishes_every()
        {
            self.plan(now + every.max(MS / 10), Event::Publish);
        }
    }

    fn outcome(self) -> Outcome {
        let mut outcome = Outcome { failed: self.failed, ..Outcome::default() };
        for (arrival, latency) in self.arrivals.iter().zip(&self.latency_ns) {
            let Kind::Request { short, .. } = arrival.kind else { continue };
            if *latency == 0 {
                continue;
            }
            outcome.all_ns.push(*latency);
            if short {
                outcome.short_ns.push(*latency);
            }
        }
        outcome
    }
}
