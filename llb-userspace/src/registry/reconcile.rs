//! Brings the maps to what they should hold: step by step, and again what has failed, after a while that grows.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Desired, Held, Key, Step, Want,
    plan::Plan,
    write::{Error, Maps, write},
};
use crate::{causes::chain, model::Instant};

/// What could not be done is tried again after this, and after twice that, up to the second: what is missing, descriptors or
/// memory, comes back soon or late, and to look for it takes system calls.
const RETRY_AFTER: Duration = Duration::from_millis(100);
const RETRY_AT_MOST: Duration = Duration::from_secs(5);

/// When a socket that is gone is forgotten: its waiting connections have migrated in the system call that closed it.
const FORGET_AFTER: Duration = Duration::from_secs(5);

/// Never, as far as anybody lives to see.
const NEVER: Instant = Instant(u64::MAX);

/// What a step is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Object {
    Socket(u64),
    Group(Key),
}

/// What has just failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub object: Object,
    pub attempts: u32,
    pub error: Error,
}

/// What is not so yet.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    /// Why, as it was said the last time.
    pub error: String,
    pub attempts: u32,
    retry_at: Instant,
}

/// What has come of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Sockets that are chosen from now on.
    pub entered: Vec<u64>,
    /// What has failed.
    pub failed: Vec<Failure>,
    /// Sockets that are forgotten.
    pub forgotten: Vec<u64>,
}

/// Brings maps to what they should hold.
#[derive(Debug)]
pub(crate) struct Reconciler {
    failed: BTreeMap<Object, Failed>,
    /// Sockets that were there at the last run: the kernel side may know them although nothing was written.
    seen: BTreeSet<u64>,
    /// Sockets that are no more, and since when.
    gone: BTreeMap<u64, Instant>,
    /// Sockets of which it is not known whether they are gone.
    spared: BTreeSet<u64>,
    due: Instant,
}

impl Default for Reconciler {
    fn default() -> Self {
        Reconciler {
            failed: BTreeMap::new(),
            seen: BTreeSet::new(),
            gone: BTreeMap::new(),
            spared: BTreeSet::new(),
            due: NEVER,
        }
    }
}

impl Reconciler {
    /// Whether time alone has made a run due.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now >= self.due
    }

    /// Whether a socket has gone within the last seconds.
    pub(crate) fn is_forgetting(&self) -> bool {
        !self.gone.is_empty()
    }

    /// What is not so yet.
    pub(crate) fn pending(&self) -> impl Iterator<Item = (Object, &Failed)> {
        self.failed.iter().map(|(object, failed)| (*object, failed))
    }

    /// What the maps know of these sockets stays, of whichever worker they are.
    pub(crate) fn spare(&mut self, cookies: impl IntoIterator<Item = u64>) {
        self.spared.extend(cookies);
    }

    /// Brings the maps to `desired`, as far as that can be done now.
    pub(crate) fn run(&mut self, desired: &Desired, held: &mut Held, maps: &mut impl Maps, now: Instant) -> Report {
        let mut report = Report::default();
        let mut failed: Vec<(Object, Error)> = Vec::new();
        let waits = |failed: &BTreeMap<Object, Failed>, object: Object| {
            failed.get(&object).is_some_and(|failed| now < failed.retry_at)
        };
        let mut plan = Plan { desired, entering: Vec::new(), spent: self.spent(desired, held, now) };
        let mut open = BTreeSet::new();
        let stands = |want: &Want| held.sockets.get(&want.cookie).is_some_and(|has| has.stands(want));
        for want in desired.sockets.values().filter(|want| want.placed && !stands(want)) {
            let object = Object::Socket(want.cookie);
            open.insert(object);
            if waits(&self.failed, object) {
                continue;
            }
            match maps.find(want) {
                Ok(key) => plan.entering.push((key, *want)),
                Err(error) => failed.push((object, error)),
            }
        }
        for phase in Plan::PHASES {
            for step in phase(&plan, held) {
                let object = object_of(&step);
                open.insert(object);
                let has_failed = failed.iter().any(|(failed, _)| *failed == object);
                if has_failed || waits(&self.failed, object) || !held.allows(&step) {
                    continue;
                }
                if let Err(error) = write(&step, held, maps) {
                    failed.push((object, error));
                    continue;
                }
                match &step {
                    Step::Select { members, .. } => {
                        let cookies = members.iter().map(|member| member.cookie);
                        report.entered.extend(cookies.filter(|cookie| !held.is_member(*cookie)));
                    }
                    Step::Forget { cookie } => {
                        self.gone.remove(cookie);
                        report.forgotten.push(*cookie);
                    }
                    _ => {}
                }
                held.note(step);
            }
        }
        for (key, want) in plan.entering.iter().filter(|(key, _)| !held.groups.contains_key(key)) {
            if !failed.iter().any(|(failed, _)| *failed == Object::Group(*key)) {
                failed.push((Object::Socket(want.cookie), maps.no_room(key)));
            }
        }
        report.failed = self.settle(&open, failed, now);
        report
    }

    /// Sockets that are gone for so long that no connection can be migrating from them any more.
    fn spent(&mut self, desired: &Desired, held: &Held, now: Instant) -> BTreeSet<u64> {
        let is_there = |cookie: &u64| desired.sockets.contains_key(cookie);
        self.spared.retain(|cookie| !is_there(cookie));
        self.gone.retain(|cookie, _| !is_there(cookie));
        let seen = std::mem::replace(&mut self.seen, desired.sockets.keys().copied().collect());
        for cookie in held.sockets.keys().chain(&seen) {
            if !is_there(cookie) && !self.spared.contains(cookie) {
                self.gone.entry(*cookie).or_insert(now);
            }
        }
        let is_spent = |since: Instant| now >= since.after(FORGET_AFTER);
        self.gone.iter().filter(|(_, since)| is_spent(**since)).map(|(cookie, _)| *cookie).collect()
    }

    /// Notes what is not so yet, and when to run again.
    fn settle(&mut self, open: &BTreeSet<Object>, failed: Vec<(Object, Error)>, now: Instant) -> Vec<Failure> {
        let just_now: BTreeSet<Object> = failed.iter().map(|(object, _)| *object).collect();
        let waits = |object: &Object, failed: &Failed| open.contains(object) && now < failed.retry_at;
        self.failed.retain(|object, failed| just_now.contains(object) || waits(object, failed));
        let mut note = |(object, error): (Object, Error)| {
            let before = self.failed.get(&object).map_or(0, |failed| failed.attempts);
            let after = RETRY_AFTER.saturating_mul(1 << before.min(6)).min(RETRY_AT_MOST);
            let attempts = before + 1;
            self.failed.insert(object, Failed { error: chain(&*error), attempts, retry_at: now.after(after) });
            Failure { object, attempts, error }
        };
        let failures = failed.into_iter().map(&mut note).collect();
        let retries = self.failed.values().map(|failed| failed.retry_at);
        let forgets = self.gone.values().map(|since| since.after(FORGET_AFTER)).filter(|at| *at > now);
        self.due = retries.chain(forgets).min().unwrap_or(NEVER);
        failures
    }
}

fn object_of(step: &Step) -> Object {
    match *step {
        Step::Assign { key, .. } | Step::Select { key, .. } => Object::Group(key),
        Step::Know { cookie, .. }
        | Step::Place { cookie, .. }
        | Step::Clear { cookie, .. }
        | Step::Forget { cookie } => Object::Socket(cookie),
    }
}
