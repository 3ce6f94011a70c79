//! The outside of a fleet as the simulation has it: it does what it is told, and checks that it makes sense.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::{
    fleet::note::Note,
    registry::{self, Registry},
};

/// What happens next. Numbers choose among the workers and listeners that there are just then.
#[derive(Clone, Debug)]
pub(super) enum Happening {
    /// Time passes, ms; bit n: seat n has drained.
    Tick(u64, u64),
    Listens(usize, u16),
    Closes(usize),
    /// It accepts at one of the listeners that are open.
    Accepts(usize),
    Speaks(usize),
    SaysReady(usize),
    AsksToLeave(usize),
    HangsUp(usize),
    Exits(usize),
    /// It exits with code 0.
    ExitsWell(usize),
    /// Workers reach a limit: those of this number, and of any multiple of it.
    Recycles(usize),
    /// New code that is watched has passed, or failed.
    Judges(bool),
    /// What it is, and the number of a slot or of workers.
    Command(u8, u32),
    Stop,
    /// The master dies, and another one comes, for so many slots.
    MasterDies(u32),
}

/// The outside, and what it has seen.
pub(super) struct World {
    pub supervisor: Told,
    rules: Rules,
    now: Instant,
    pub alive: BTreeSet<WorkerId>,
    reaped: BTreeSet<WorkerId>,
    /// Listeners in their groups, by cookie.
    groups: BTreeMap<u64, (WorkerId, Address, Seat)>,
    open: Vec<(WorkerId, u64)>,
    next_cookie: u64,
    last_spawn: BTreeMap<Slot, Instant>,
    ups: u32,
    downs: u32,
    failures: u32,
    stopped: bool,
    /// Whether an operator has interfered: then starts need not keep their distance.
    commanded: bool,
}

impl World {
    pub(super) fn new(rules: Rules) -> Self {
        World {
            supervisor: Told::new(rules, at(0)),
            rules,
            now: at(0),
            alive: BTreeSet::new(),
            reaped: BTreeSet::new(),
            groups: BTreeMap::new(),
            open: Vec::new(),
            next_cookie: 1,
            last_spawn: BTreeMap::new(),
            ups: 0,
            downs: 0,
            failures: 0,
            stopped: false,
            commanded: false,
        }
    }

    /// A worker that lives, if any does.
    fn pick(&self, number: usize) -> Option<WorkerId> {
        let count = self.alive.len().max(1);
        self.alive.iter().nth(number % count).copied()
    }

    pub(super) fn happen(&mut self, happening: &Happening) {
        let now = self.now;
        let on = |number: usize| self.pick(number);
        let before = self.states();
        let spares = !matches!(happening, Happening::Exits(_) | Happening::ExitsWell(_) | Happening::Stop);
        let effects = match *happening {
            Happening::Tick(ms, seats) => {
                self.now = now.after(Duration::from_millis(ms));
                self.tick(|seat| seats >> (seat.0 % 64) & 1 == 1)
            }
            Happening::Listens(number, port) => {
                let Some(id) = on(number) else { return };
                let cookie = self.next_cookie;
                self.next_cookie += 1;
                self.open.push((id, cookie));
                self.supervisor.listens(id, cookie, address(port), now)
            }
            Happening::Closes(number) => {
                if self.open.is_empty() {
                    return;
                }
                let at = number % self.open.len();
                let (_, cookie) = self.open.swap_remove(at);
                self.supervisor.listener_closes(cookie, now)
            }
            Happening::Accepts(number) => {
                let Some((id, cookie)) = self.open.get(number % self.open.len().max(1)).copied() else { return };
                self.supervisor.accepts(id, cookie, now)
            }
            Happening::Speaks(number) => {
                if let Some(id) = on(number) {
                    self.supervisor.speaks(id);
                }
                return;
            }
            Happening::SaysReady(number) => on(number).map_or_else(Vec::new, |id| self.supervisor.says_ready(id, now)),
            Happening::AsksToLeave(number) => {
                on(number).map_or_else(Vec::new, |id| self.supervisor.asks_to_leave(id, now))
            }
            Happening::HangsUp(number) => on(number).map_or_else(Vec::new, |id| self.supervisor.hangs_up(id, now)),
            Happening::Exits(number) => {
                let Some(id) = on(number) else { return };
                self.exit(id)
            }
            Happening::ExitsWell(number) => {
                let Some(id) = on(number) else { return };
                self.supervisor.ends_well(id, true, now);
                // A worker that has served is replaced at once.
                let done = |worker: &Worker| if worker.is_done { Some(worker.slot) } else { None };
                if let Some(slot) = self.supervisor.worker(id).and_then(done) {
                    self.last_spawn.remove(&slot);
                }
                self.exit(id)
            }
            Happening::Recycles(number) => {
                let due = self.alive.iter().step_by(number % 3 + 1).map(|id| (*id, recycled::reached(1_000)));
                let effects = self.supervisor.recycle(due.collect(), now);
                assert!(
                    !effects.iter().any(|effect| matches!(effect, Effect::TellToFinish(_))),
                    "before another serves"
                );
                effects
            }
            Happening::Judges(true) => self.supervisor.canary_passes("as good", now),
            Happening::Judges(false) => self.supervisor.canary_fails("fails", now),
            Happening::Command(what, number) => self.command(what, number),
            Happening::Stop => {
                self.stopped = true;
                self.supervisor.stop(now)
            }
            Happening::MasterDies(slots) => return self.master_dies(slots),
        };
        self.obey(effects);
        self.check();
        self.check_notes(&before);
        let serve = |states: &BTreeMap<WorkerId, State>| states.values().any(|state| *state == State::Serving);
        assert!(!spares || self.ends() || !serve(&before) || serve(&self.states()), "{happening:?}: nobody serves now");
    }

    fn command(&mut self, what: u8, number: u32) -> Vec<Effect> {
        let slot = Slot(number);
        let command = match what {
            0 => Command::Reload(Style::AtOnce),
            1 => Command::Reload(Style::Rolling { max_surge: number.max(1) }),
            2 => Command::Scale { workers: number },
            3 => Command::Drain { slot },
            4 => Command::Try(Style::AtOnce, Canary { slots: number, watch: Duration::from_secs(5) }),
            5 => Command::Try(Style::Rolling { max_surge: number.max(1) }, Canary { slots: 1, watch: Duration::ZERO }),
            _ => Command::Restart { slot },
        };
        self.commanded = true;
        let before = format!("{:?}", self.supervisor);
        match self.supervisor.command(command, self.now) {
            Ok((_, effects)) => effects,
            Err(refusal) => {
                assert_eq!(format!("{:?}", self.supervisor), before, "{refusal}");
                Vec::new()
            }
        }
    }

    /// Another master takes over; whoever serves goes on, and nobody is forgotten.
    fn master_dies(&mut self, slots: u32) {
        if self.downs > 0 {
            return;
        }
        let serve = |supervisor: &Told| supervisor.workers().any(|worker| worker.state == State::Serving);
        let served = serve(&self.supervisor);
        let found = adopted::left(&self.supervisor);
        let before: Vec<WorkerId> = self.supervisor.workers().map(|worker| worker.id).collect();
        self.rules.slots = slots;
        self.supervisor = Told::new(self.rules, self.now);
        let (ids, effects) = self.supervisor.adopt(found, |_| true, self.now);
        let renamed: BTreeMap<WorkerId, WorkerId> = before.into_iter().zip(ids.iter().copied()).collect();
        self.alive = ids.iter().copied().collect();
        self.reaped.clear();
        self.open.iter_mut().for_each(|(id, _)| *id = renamed[id]);
        // The kernel's groups are made anew, of those who serve.
        self.groups.clear();
        for id in &ids {
            let left =
                effects.iter().filter_map(|e| if let Effect::Withdraw { cookie } = e { Some(*cookie) } else { None });
            let left: BTreeSet<u64> = left.collect();
            let joins = |cookie| effects.iter().any(|e| matches!(e, Effect::Seat { cookie: c, .. } if *c == cookie));
            let Some(worker) = self.supervisor.worker(*id) else { continue };
            for Listener { cookie, address, seat, .. } in worker.listeners.iter().copied() {
                let is_member = worker.state == State::Serving || left.contains(&cookie);
                if let Some(seat) = seat.filter(|_| is_member && !joins(cookie)) {
                    self.groups.insert(cookie, (*id, address, seat));
                }
            }
        }
        (self.ups, self.failures, self.stopped, self.commanded) = (0, 0, false, true);
        self.supervisor.take_notes();
        self.obey(effects);
        self.check();
        assert!(!served || serve(&self.supervisor), "nobody serves now");
    }

    pub(super) fn states(&self) -> BTreeMap<WorkerId, State> {
        self.supervisor.workers().map(|worker| (worker.id, worker.state)).collect()
    }

    /// Every transition has a note, with its cause.
    fn check_notes(&mut self, before: &BTreeMap<WorkerId, State>) {
        let notes = self.supervisor.take_notes();
        for (id, state) in self.states() {
            let was = before.get(&id).map_or("", |state| state.name());
            let kind = match state {
                State::Starting { .. } => Kind::Spawned,
                State::Serving => Kind::Ready,
                State::Draining { .. } => Kind::Draining,
                State::Stopping { .. } => Kind::Stopping,
                State::Killed => Kind::Killed,
            };
            let told = |note: &Note| note.id == Some(id) && note.kind == kind && !note.cause.is_empty();
            assert!(was == state.name() || notes.iter().any(told), "{id} is {} untold: {notes:?}", state.name());
        }
    }

    /// One that looks at everything, however little is due, must come to the same.
    fn tick(&mut self, drained: impl Fn(Seat) -> bool) -> Vec<Effect> {
        let mut thorough = self.supervisor.clone();
        thorough.due = AT_ONCE;
        // Every third worker has a shutdown of its own, and is asked as soon as its first seat has drained.
        let sight = |worker: &Worker| {
            let holds = if worker.seats().all(&drained) { Holding::Nothing } else { Holding::Requests };
            Sight {
                holds,
                settled: worker.seats().any(&drained),
                ends_itself: worker.id.0.is_multiple_of(3),
                has_flows: false,
            }
        };
        let expected = thorough.tick(self.now, sight, &drained);
        let effects = self.supervisor.tick(self.now, sight, &drained);
        assert_eq!(effects, expected, "something was due");
        let state = |supervisor: &Told| {
            let mut supervisor = supervisor.clone();
            supervisor.due = AT_ONCE;
            format!("{supervisor:?}")
        };
        assert_eq!(state(&self.supervisor), state(&thorough), "something was due");
        effects
    }

    pub(super) fn exit(&mut self, id: WorkerId) -> Vec<Effect> {
        self.alive.remove(&id);
        self.open.retain(|(owner, _)| *owner != id);
        self.supervisor.exited(id, self.now)
    }

    pub(super) fn obey(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Spawn(NewWorker { id, slot, .. }) => {
                    assert!(!self.stopped && self.failures == 0, "{id} is spawned while the fleet ends");
                    assert!(self.alive.insert(id) && !self.reaped.contains(&id), "{id} has lived before");
                    let last = self.last_spawn.insert(slot, self.now);
                    let paced = self.commanded || last.is_none_or(|last| self.now >= last.after(self.rules.respawn));
                    assert!(paced, "slot {slot} is filled too soon");
                }
                Effect::Check(id) => assert!(self.alive.contains(&id), "{id} is not there to be asked"),
                Effect::Watch { id, cookie } => {
                    assert!(self.open.contains(&(id, cookie)), "{id} does not hold {cookie}")
                }
                Effect::Seat { id, cookie, address, seat } => {
                    let starts = |worker: &Worker| matches!(worker.state, State::Starting { .. });
                    assert!(!self.supervisor.worker(id).is_some_and(starts), "{id} joins and is not ready");
                    assert!(self.alive.contains(&id), "{id} is not there to join");
                    assert!(self.open.contains(&(id, cookie)), "{id} does not hold {cookie}");
                    for (other, there, taken) in self.groups.values() {
                        assert!(*taken != seat || *other == id, "seat {seat} of {other} is given to {id}");
                        assert!(*taken != seat || *there != address, "seat {seat} twice in one group");
                    }
                    assert!(self.groups.insert(cookie, (id, address, seat)).is_none(), "{cookie} joins twice");
                }
                Effect::Withdraw { cookie } => {
                    self.groups.remove(&cookie);
                }
                Effect::TellToFinish(id) | Effect::CloseIdle { id, .. } | Effect::Terminate(id) | Effect::Kill(id) => {
                    assert!(self.alive.contains(&id), "{id} is not there any more");
                }
                Effect::Reap(id) => assert!(!self.alive.contains(&id) && self.reaped.insert(id), "{id} is reaped"),
                Effect::GiveUp { .. } => {}
                Effect::Up => {
                    self.ups += 1;
                    assert!(self.ups == 1 && !self.stopped && self.failures == 0);
                }
                Effect::Fail(_) => {
                    self.failures += 1;
                    assert!(self.failures == 1 && self.ups == 0, "a fleet that is up stays up");
                }
                // Kept apart.
                Effect::Note(_) => {}
                Effect::Down => {
                    self.downs += 1;
                    assert!(self.downs == 1 && self.alive.is_empty());
                }
            }
        }
    }

    fn check(&self) {
        let known: BTreeSet<WorkerId> = self.supervisor.workers().map(|worker| worker.id).collect();
        assert_eq!(known, self.alive);
        let mut registry = Registry::default();
        self.supervisor.workers().for_each(|worker| worker.enter(&mut registry, |_| false));
        let joined = registry.sockets().filter(|socket| socket.state == registry::State::Joined);
        let joined = joined.filter_map(|socket| Some((socket.cookie, (socket.worker, socket.address, socket.seat?))));
        assert_eq!(
            self.groups,
            joined.collect(),
            "who is to be chosen by the registry, and what the effects have told"
        );
        let mut holders = BTreeMap::new();
        for worker in self.supervisor.workers() {
            for seat in worker.seats() {
                assert_eq!(holders.insert(seat, worker.id), None, "seat {seat} has two holders");
            }
        }
        for (slot, state) in self.supervisor.slots() {
            let of_slot = || self.supervisor.workers().filter(|worker| worker.slot == slot);
            let current: Vec<Generation> =
                of_slot().filter(|worker| worker.is_current()).map(|worker| worker.generation).collect();
            let generations: BTreeSet<Generation> = current.iter().copied().collect();
            assert_eq!(generations.len(), current.len(), "slot {slot} has several workers of one generation");
            assert!(current.len() <= 1 || self.supervisor.reloading().is_some(), "slot {slot} has workers {current:?}");
            let stopping = of_slot().any(|worker| matches!(worker.state, State::Stopping { .. } | State::Killed));
            let is_forgotten = state == SlotState::Waiting { until: None } && !stopping && !self.ends();
            assert!(!is_forgotten, "slot {slot} is forgotten");
        }
        assert!(self.downs == 1 || !self.ends() || !self.alive.is_empty(), "nobody is left, and it is not down");
    }

    fn ends(&self) -> bool {
        self.stopped || self.failures > 0
    }

    /// Told to stop, the fleet goes down without any worker's help, in the time that it says.
    pub(super) fn bring_down(&mut self) {
        if !self.ends() {
            self.happen(&Happening::Stop);
        }
        for _ in ["told to finish", "sent SIGTERM"] {
            self.happen(&Happening::Tick(u64::try_from(self.rules.drain_timeout.as_millis()).unwrap(), 0));
        }
        assert!(self.supervisor.workers().all(|worker| worker.state == State::Killed));
        while let Some(id) = self.pick(0) {
            let effects = self.exit(id);
            self.obey(effects);
            self.check();
        }
        assert_eq!(self.downs, 1);
        assert_eq!(self.groups, BTreeMap::new(), "these are in a group, and nobody holds them");
        self.happen(&Happening::Tick(1_000_000, u64::MAX));
        self.happen(&Happening::Stop);
        assert_eq!(self.downs, 1);
    }
}
