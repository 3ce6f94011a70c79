//! A few cores and the tasks that share them: each runs off its bursts, and sleeps when it has none.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use llb_kit::random::Random;

/// What a task that was asleep spends before its first burst, ns: the switch to it, the return from its system call,
/// cold caches. With this and the next, a connection costs in all what it costs on a virtual machine of two cores.
const WAKE_NS: u64 = 20_000;

/// What whoever wakes a task spends on that, ns: the call into the scheduler and the interrupt to another core.
const WAKER_NS: u64 = 7_000;

/// How long it takes until a core that was idle runs again, ns: leaving its sleep state.
const IDLE_EXIT_NS: u64 = 10_000;

/// How long a task may run while others wait, ns: the base slice of Linux's scheduler with two cores, rounded.
const SLICE_NS: u64 = 1_500_000;

/// Something to do on a core, and its name when it is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Burst<Job> {
    pub(super) job: Job,
    pub(super) cpu_ns: u64,
    /// How long the task then sleeps in a system call before the burst is done, ns.
    pub(super) sleep_ns: u64,
}

/// What has come of a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happened<Job> {
    /// A task is done with a burst.
    Done { task: usize, job: Job },
    /// A time that was asked for has come.
    Alarm(Job),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event<Job> {
    Ran(usize),
    Slept(usize),
    Alarm(Job),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Asleep,
    InCall,
    Ready,
    Running,
}

#[derive(Clone, Debug)]
struct Task<Job> {
    state: State,
    bursts: VecDeque<Burst<Job>>,
    /// What is left to run of the present burst, or before the first one, ns.
    left_ns: u64,
    present: Option<Burst<Job>>,
    /// Whether it takes from [`Cores::shared`] what no one has been given.
    shares: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Core {
    task: Option<usize>,
    since: u64,
    slice_ends: u64,
}

/// The machine.
#[derive(Clone, Debug)]
pub(super) struct Cores<Job> {
    cores: Vec<Core>,
    tasks: Vec<Task<Job>>,
    ready: Vec<usize>,
    shared: VecDeque<Burst<Job>>,
    events: BinaryHeap<Reverse<(u64, u64, Event<Job>)>>,
    planned: u64,
    random: Random,
}

impl<Job: Copy + Ord> Cores<Job> {
    /// `workers` tasks that share a queue, and `others` that do not.
    pub(super) fn new(cores: usize, workers: usize, others: usize, seed: u64) -> Self {
        let task = |shares| Task { state: State::Asleep, bursts: VecDeque::new(), left_ns: 0, present: None, shares };
        Cores {
            cores: vec![Core::default(); cores],
            tasks: (0..workers + others).map(|index| task(index < workers)).collect(),
            ready: Vec::new(),
            shared: VecDeque::new(),
            events: BinaryHeap::new(),
            planned: 0,
            random: Random::stream(seed, 3),
        }
    }

    pub(super) fn alarm(&mut self, at: u64, job: Job) {
        self.plan(at, Event::Alarm(job));
    }

    pub(super) fn is_asleep(&self, task: usize) -> bool {
        self.tasks[task].state == State::Asleep
    }

    /// Gives something to do to whichever task takes it first, and wakes one that sleeps, in turn.
    pub(super) fn share(&mut self, burst: Burst<Job>, by: Option<usize>, now: u64) {
        self.shared.push_back(burst);
        let count = self.tasks.len();
        let asleep = |task: &usize| self.tasks[*task].shares && self.tasks[*task].state == State::Asleep;
        let first = self.planned as usize;
        if let Some(task) = (0..count).map(|step| (first + step) % count).find(asleep) {
            self.wake(task, by, now);
        }
    }

    /// Gives a task something to do, and wakes it if it sleeps; `by` is the running task that does so, and pays.
    pub(super) fn push(&mut self, task: usize, burst: Burst<Job>, by: Option<usize>, now: u64) {
        self.tasks[task].bursts.push_back(burst);
        self.wake(task, by, now);
    }

    fn wake(&mut self, task: usize, by: Option<usize>, now: u64) {
        if self.tasks[task].state != State::Asleep {
            return;
        }
        if let Some(by) = by {
            self.tasks[by].left_ns += WAKER_NS;
        }
        self.ready(task, now);
    }

    /// The next thing that happens, and when.
    pub(super) fn next(&mut self) -> Option<(u64, Option<Happened<Job>>)> {
        let Reverse((now, _, event)) = self.events.pop()?;
        let happened = match event {
            Event::Alarm(job) => Some(Happened::Alarm(job)),
            Event::Slept(task) => {
                self.ready(task, now);
                None
            }
            Event::Ran(core) => self.ran(core, now),
        };
        Some((now, happened))
    }

    /// Lets a task go on after [`Happened::Done`]: it takes its next burst or sleeps.
    pub(super) fn go_on(&mut self, task: usize, now: u64) {
        let Some(core) = self.cores.iter().position(|core| core.task == Some(task)) else { return };
        self.segment(core, task, now);
    }

    fn ready(&mut self, task: usize, now: u64) {
        let woken = &mut self.tasks[task];
        woken.state = State::Ready;
        woken.left_ns += WAKE_NS;
        self.ready.push(task);
        if let Some(idle) = self.cores.iter().position(|core| core.task.is_none()) {
            self.dispatch(idle, now + IDLE_EXIT_NS);
        }
    }

    /// Puts the next task on a core that has none, from `at` on.
    fn dispatch(&mut self, core: usize, at: u64) {
        self.cores[core].task = None;
        if self.ready.is_empty() {
            return;
        }
        // Linux runs a woken task now soon, now late, by what it and the others have had: half of the time the last one
        // woken, otherwise any.
        let last = self.ready.len() - 1;
        let next = if self.random.unit() < 0.5 { self.random.below(last as u64 + 1) as usize } else { last };
        let task = self.ready.remove(next);
        self.tasks[task].state = State::Running;
        self.cores[core] = Core { task: Some(task), since: at, slice_ends: at + SLICE_NS };
        self.segment(core, task, at);
    }

    /// Runs a task until what it does is done or its slice ends.
    fn segment(&mut self, core: usize, task: usize, now: u64) {
        let running = &mut self.tasks[task];
        if running.present.is_none() {
            let shared = if running.shares { &mut self.shared } else { &mut running.bursts };
            running.present = match shared.pop_front() {
                None => running.bursts.pop_front(),
                some => some,
            };
            running.left_ns += running.present.map_or(0, |burst| burst.cpu_ns);
        }
        if running.left_ns == 0 && running.present.is_none() {
            running.state = State::Asleep;
            return self.dispatch(core, now);
        }
        let left_ns = running.left_ns;
        self.cores[core].since = now;
        let slice_ns = self.cores[core].slice_ends.saturating_sub(now).max(1);
        self.plan(now + left_ns.min(slice_ns), Event::Ran(core));
    }

    fn ran(&mut self, core: usize, now: u64) -> Option<Happened<Job>> {
        let Core { task, since, slice_ends } = self.cores[core];
        let task = task?;
        let running = &mut self.tasks[task];
        running.left_ns = running.left_ns.saturating_sub(now - since);
        if running.left_ns == 0 {
            match running.present {
                Some(Burst { job, sleep_ns: 0, .. }) => {
                    running.present = None;
                    return Some(Happened::Done { task, job });
                }
                Some(Burst { sleep_ns, .. }) => {
                    running.present = running.present.map(|burst| Burst { cpu_ns: 0, sleep_ns: 0, ..burst });
                    running.state = State::InCall;
                    self.plan(now + sleep_ns, Event::Slept(task));
                    self.dispatch(core, now);
                }
                None => self.segment(core, task, now),
            }
            return None;
        }
        if now >= slice_ends {
            if self.ready.is_empty() {
                self.cores[core].slice_ends = now + SLICE_NS;
            } else {
                running.state = State::Ready;
                self.ready.push(task);
                self.dispatch(core, now);
                return None;
            }
        }
        self.segment(core, task, now);
        None
    }

    fn plan(&mut self, at: u64, event: Event<Job>) {
        self.planned += 1;
        self.events.push(Reverse((at, self.planned, event)));
    }
}
