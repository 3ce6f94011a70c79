//! One worker: a server that works off requests, whole ones in turn or all at once.

use std::collections::VecDeque;

/// How a worker serves what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serving {
    /// One after the other, as a single-threaded blocking server does.
    InTurn,
    /// All that it holds share it equally (processor sharing), as in an event loop whose handlers are cut in
    /// small pieces.
    AllAtOnce,
    /// So many at a time, each at full speed: a pool of threads that mostly wait for others.
    Threads(usize),
}

impl Serving {
    /// How many requests are served at a time.
    fn width(self) -> usize {
        match self {
            Serving::InTurn => 1,
            Serving::AllAtOnce => usize::MAX,
            Serving::Threads(count) => count,
        }
    }

    /// How many times longer each takes when `active` are served.
    fn share(self, active: usize) -> f64 {
        if self == Serving::AllAtOnce { active as f64 } else { 1.0 }
    }
}

#[derive(Clone, Copy, Debug)]
struct Active {
    job: u32,
    left_ns: f64,
}

/// A worker's queue. Time is an argument and never goes backwards.
#[derive(Clone, Debug)]
pub(super) struct Worker {
    serving: Serving,
    active: Vec<Active>,
    waiting: VecDeque<Active>,
    hung: bool,
    updated_at: u64,
    /// Grows whenever the next completion moves, so that an event which was planned before can be told.
    pub(super) version: u32,
}

impl Worker {
    pub(super) fn new(serving: Serving) -> Self {
        Worker { serving, active: Vec::new(), waiting: VecDeque::new(), hung: false, updated_at: 0, version: 0 }
    }

    /// Whether a request would be begun at once.
    pub(super) fn is_free(&self) -> bool {
        self.active.len() < self.serving.width() && !self.hung
    }

    /// Whether it waits for connections.
    pub(super) fn is_idle(&self) -> bool {
        self.active.is_empty() && !self.hung
    }

    /// Takes a request of `work_ns`.
    pub(super) fn push(&mut self, job: u32, work_ns: u64, now: u64) {
        let new = Active { job, left_ns: work_ns as f64 };
        if self.active.len() >= self.serving.width() {
            self.waiting.push_back(new);
            return;
        }
        self.advance(now);
        self.active.push(new);
    }

    /// Stops for a while, or goes on: nothing is worked on in between.
    pub(super) fn hang(&mut self, hung: bool, now: u64) {
        self.advance(now);
        self.hung = hung;
    }

    /// When the next request is done, if nothing changes until then.
    pub(super) fn next_done_at(&self) -> Option<u64> {
        if self.hung {
            return None;
        }
        let least = self.active.iter().map(|active| active.left_ns).min_by(f64::total_cmp)?;
        Some(self.updated_at + (least.max(0.0) * self.serving.share(self.active.len())).ceil() as u64)
    }

    /// The request that is done now: to be called at [`Worker::next_done_at`].
    pub(super) fn take_done(&mut self, now: u64) -> Option<u32> {
        self.advance(now);
        let least =
            (0..self.active.len()).min_by(|a, b| self.active[*a].left_ns.total_cmp(&self.active[*b].left_ns))?;
        // In order of arrival among equals, so not `swap_remove`.
        let done = self.active.remove(least);
        self.active.extend(self.waiting.pop_front());
        Some(done.job)
    }

    fn advance(&mut self, now: u64) {
        if !self.hung && !self.active.is_empty() {
            let each = (now - self.updated_at) as f64 / self.serving.share(self.active.len());
            for active in &mut self.active {
                active.left_ns -= each;
            }
        }
        self.updated_at = now;
        self.version = self.version.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_done(mut worker: Worker) -> Vec<(u64, u32)> {
        let mut done = Vec::new();
        while let Some(at) = worker.next_done_at() {
            done.push((at, worker.take_done(at).unwrap()));
        }
        done
    }

    #[test]
    fn in_turn_the_second_waits_for_the_first() {
        let mut worker = Worker::new(Serving::InTurn);
        worker.push(1, 100, 0);
        worker.push(2, 10, 5);
        assert_eq!(all_done(worker), [(100, 1), (110, 2)]);
    }

    #[test]
    fn threads_serve_so_many_at_full_speed() {
        let mut worker = Worker::new(Serving::Threads(2));
        worker.push(1, 100, 0);
        assert!(worker.is_free());
        worker.push(2, 10, 0);
        assert!(!worker.is_free());
        worker.push(3, 20, 5);
        assert_eq!(all_done(worker), [(10, 2), (30, 3), (100, 1)]);
    }

    #[test]
    fn all_at_once_the_short_one_overtakes_the_long_one() {
        let mut worker = Worker::new(Serving::AllAtOnce);
        worker.push(1, 100, 0);
        worker.push(2, 10, 50);
        assert_eq!(all_done(worker), [(70, 2), (110, 1)]);
    }

    #[test]
    fn nothing_moves_while_it_hangs() {
        let mut worker = Worker::new(Serving::InTurn);
        worker.push(1, 100, 0);
        worker.hang(true, 40);
        assert_eq!(worker.next_done_at(), None);
        worker.hang(false, 1_040);
        assert_eq!(all_done(worker), [(1_100, 1)]);
    }
}
