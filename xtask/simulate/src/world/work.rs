//! What happens at the workers: requests come, are worked off, fail, hang.

use llb_common::{
    abi::{Conn, MAX_SEATS},
    track::{self, Closer},
};

use super::{Event, SILENT_FOR, World};
use crate::{
    arrivals::Kind,
    books::Books,
    method::Method,
    scenario::{FAILURE_NS, Failing},
    worker::Worker,
};

impl World<'_> {
    /// The handshake is complete, and with it comes the first byte if one ever does.
    pub(super) fn first_byte(&mut self, job: u32, now: u64) {
        if self.method != Method::Central {
            let journey = &mut self.journeys[job as usize];
            let handshake_ns = now - self.arrivals[job as usize].at;
            self.groups[journey.worker as usize / MAX_SEATS].establish(&mut journey.conn, handshake_ns, now);
        }
        let Kind::Request { .. } = self.arrivals[job as usize].kind else {
            return self.plan(now + SILENT_FOR, Event::Close(job));
        };
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
        let nature = self.natures[worker as usize];
        let work_ns =
            if self.fails(worker, now).is_some() { FAILURE_NS } else { (work_ns as f64 * nature.slowness) as u64 };
        self.change(worker, |worker| worker.push(job, work_ns, now));
    }

    pub(super) fn done(&mut self, worker: u32, now: u64) {
        let mut done = None;
        self.change(worker, |worker| done = worker.take_done(now));
        let Some(job) = done else { return };
        let failing = self.fails(worker, now);
        if failing == Some(Failing::Closes) {
            self.step(job, now, |conn, now| track::closing(conn, Closer::Worker, now));
        } else {
            self.step(job, now, track::bytes_out);
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

    pub(super) fn step(&mut self, job: u32, now: u64, step: impl Fn(&Conn, u64) -> Option<track::Step>) {
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
