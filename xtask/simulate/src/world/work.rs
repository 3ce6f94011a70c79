//! What happens at the workers: requests come, are worked off, fail, hang.

use llb_common::{
    abi::{Conn, MAX_SEATS},
    track::{self, Closer, Delta, Step},
};

use super::{Event, SILENT_FOR, World};
use crate::{
    SECOND,
    arrivals::Kind,
    books::Books,
    method::Method,
    scenario::{Failing, Kept, Nature},
    worker::Worker,
};

/// Time between two lines of a client that waits for no answer, ns.
const LINES_EVERY: u64 = SECOND;

impl World<'_> {
    /// The handshake is complete, and with it comes the first byte if one ever does.
    pub(super) fn first_byte(&mut self, job: u32, now: u64) {
        if self.method != Method::Central {
            let journey = &mut self.journeys[job as usize];
            let handshake_ns = now - self.arrivals[job as usize].at;
            self.groups[journey.worker as usize / MAX_SEATS].establish(&mut journey.conn, handshake_ns, now);
        }
        match self.arrivals[job as usize].kind {
            Kind::Request { .. } => {}
            Kind::Kept(kept) => return self.keep(job, kept, now),
            Kind::Silent | Kind::Flood => return self.plan(now + SILENT_FOR, Event::Close(job)),
        }
        self.step(job, now, track::bytes_in);
        if self.method != Method::Central {
            return self.give(self.journeys[job as usize].worker, job, now);
        }
        self.queue.push_back(job);
        let free = (0..self.workers.len()).filter(|worker| self.takes(*worker));
        if let Some(best) = free.min_by(|a, b| self.natures[*a].slowness.total_cmp(&self.natures[*b].slowness)) {
            self.pull(best as u32, now);
        }
    }

    /// What comes on a connection that stays.
    fn keep(&mut self, job: u32, kept: Kept, now: u64) {
        if self.method == Method::Central {
            self.journeys[job as usize].worker = job % self.workers.len() as u32;
        }
        match kept {
            Kept::Asks => self.step(job, now, track::bytes_in),
            Kept::Rests => {
                self.step(job, now, track::bytes_in);
                self.step(job, now, track::bytes_out);
            }
            Kept::Sends(_) => {
                let first = (u64::from(self.arrivals[job as usize].hash) * LINES_EVERY) >> 32;
                self.plan(now + first, Event::Line(job));
            }
        }
    }

    /// A client that waits for no answer sends a line.
    pub(super) fn line(&mut self, job: u32, now: u64) {
        let Kind::Kept(Kept::Sends(work_ns)) = self.arrivals[job as usize].kind else { return };
        let journey = &mut self.journeys[job as usize];
        let worker = journey.worker;
        if self.method != Method::Central {
            self.groups[worker as usize / MAX_SEATS].hear_line(&mut journey.conn, now);
        }
        self.change(worker, |worker| worker.push(job, work_ns, now));
        if now < self.arrivals.last().map_or(0, |last| last.at) {
            self.plan(now + LINES_EVERY, Event::Line(job));
        }
    }

    /// Whether a worker would take a request from the central queue now; the ideal knows who fails.
    fn takes(&self, worker: usize) -> bool {
        self.joined[worker] && self.workers[worker].is_free() && self.natures[worker].failing.is_none()
    }

    pub(super) fn pull(&mut self, worker: u32, now: u64) {
        if self.takes(worker as usize)
            && let Some(job) = self.queue.pop_front()
        {
            self.journeys[job as usize].worker = worker;
            self.give(worker, job, now);
        }
    }

    fn give(&mut self, worker: u32, job: u32, now: u64) {
        let Kind::Request { work_ns, .. } = self.arrivals[job as usize].kind else { return };
        let Nature { slowness, cold: (few, factor), .. } = self.natures[worker as usize];
        let is_cold = self.given[worker as usize] < few;
        self.given[worker as usize] += 1;
        let slowness = if is_cold { slowness * factor } else { slowness };
        let work_ns = self.fails(worker, now).map_or((work_ns as f64 * slowness) as u64, Failing::takes_ns);
        self.change(worker, |worker| worker.push(job, work_ns, now));
    }

    pub(super) fn done(&mut self, worker: u32, now: u64) {
        let mut done = None;
        self.change(worker, |worker| done = worker.take_done(now));
        let Some(job) = done else { return };
        if let Kind::Kept(_) = self.arrivals[job as usize].kind {
            return self.pull(worker, now);
        }
        let failing = self.fails(worker, now);
        if failing == Some(Failing::Closes) {
            self.step(job, now, |conn, now| track::closing(conn, Closer::Worker, now));
        } else {
            let errors = u64::from(matches!(failing, Some(Failing::Says(_))));
            let answer = |step: Step| Step { delta: Delta { errors, ..step.delta }, ..step };
            self.step(job, now, |conn, now| track::bytes_out(conn, now).map(answer));
            self.step(job, now, |conn, now| track::closing(conn, Closer::Client, now));
        }
        let latency = now - self.arrivals[job as usize].at;
        if failing != Some(Failing::Closes) {
            self.peaks[worker as usize].observe(latency, now);
        }
        match failing {
            Some(_) => self.failed += 1,
            None => self.latency_ns[job as usize] = latency,
        }
        self.pull(worker, now);
    }

    fn fails(&self, worker: u32, now: u64) -> Option<Failing> {
        self.natures[worker as usize].failing.filter(|_| now >= self.scenario.trouble_at)
    }

    pub(super) fn hang(&mut self, worker: u32, hung: bool, now: u64) {
        self.change(worker, |worker| worker.hang(hung, now));
        let Some((every, lasts)) = self.natures[worker as usize].hangs else { return };
        if hung {
            self.plan(now + lasts, Event::Hang(worker, false));
        } else if now < self.arrivals.last().map_or(0, |last| last.at) {
            self.plan(now + every - lasts, Event::Hang(worker, true));
        }
        self.pull(worker, now);
    }

    /// Changes a worker and plans its next completion anew if that has moved.
    fn change(&mut self, index: u32, change: impl FnOnce(&mut Worker)) {
        let worker = &mut self.workers[index as usize];
        let before = worker.version;
        change(worker);
        let version = worker.version;
        if version != before
            && let Some(at) = worker.next_done_at()
        {
            self.plan(at, Event::Done { worker: index, version });
        }
    }

    pub(super) fn step(&mut self, job: u32, now: u64, step: impl Fn(&Conn, u64) -> Option<Step>) {
        if self.method == Method::Central {
            return;
        }
        let journey = &mut self.journeys[job as usize];
        let step = step(&journey.conn, now);
        self.groups[journey.worker as usize / MAX_SEATS].take(&mut journey.conn, step, now);
    }

    pub(super) fn group(&mut self, worker: u32) -> &mut Books {
        &mut self.groups[worker as usize / MAX_SEATS]
    }
}
