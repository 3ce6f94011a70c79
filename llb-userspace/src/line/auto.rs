//! `--concurrency auto`: whether the workers serve one request at a time, so that who finds none free had better wait in line
//! than at one of them; and whether that is worth it ([`gap`]). Pure; who looks at the workers is [`crate::engine`].
//!
//! What a worker does while it holds a request tells. One that serves in turn computes, or sleeps in what the request
//! needs. One that serves several has a thread that sleeps at its listener, and would take the next at once. So now and
//! then one that holds a request is looked at. After [`LOOKS`] looks that found nobody waiting for more the line opens, and two
//! that do close it: one may have caught a worker at the moment between two requests. The answers must not say otherwise ([`Doubt`]).

mod gap;

use std::{collections::BTreeMap, fmt, time::Duration};

use llb_common::{abi::Seat as SeatBooks, track::CONCURRENT};

use self::gap::Gap;
use crate::model::{Instant, Seat};

/// Looks that must agree; one that does not takes half of them back. Each time that a line had to be closed it takes twice as many
/// to open the next, and half as many once so many have agreed while it was open: what closed it may have been a bad moment of the
/// machine.
const LOOKS: u32 = 32;
const MOST_LOOKS: u32 = 1 << 12;

/// From one look to the next, some 100 us each: while it is not known, and when it is or so many looks have said nothing.
const LOOK_EVERY: Duration = Duration::from_millis(10);
const LOOK_AGAIN_EVERY: Duration = Duration::from_millis(100);

/// While nothing is known of how long it takes to hand one over: a request that is shorter is not worth it, ns.
const SHORT_NS: u64 = 1_000_000;

/// Of so many requests the share of kept connections is taken; it weighs half when there are as many more.
const REQUESTS: u64 = 512;

/// Answers of a worker that say something of it.
const ANSWERS: u64 = 32;

/// What a look at a worker that holds a request has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// A thread of it waits for connections.
    Waits,
    /// None does.
    Works,
    /// It cannot be seen.
    Hidden,
}

/// How often it was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub waits: u64,
    pub works: u64,
    pub hidden: u64,
}

impl Seen {
    fn count(&mut self, sight: Sight) {
        *match sight {
            Sight::Waits => &mut self.waits,
            Sight::Works => &mut self.works,
            Sight::Hidden => &mut self.hidden,
        } += 1;
    }
}

/// Why nobody waits in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// Too few have been looked at.
    Looks { have: u32, need: u32 },
    /// A worker that holds a request waits for more.
    Waits,
    /// Workers cannot be looked at.
    Hidden,
    /// A younger request was answered first.
    Overtakes,
    /// A request that waited took less, from the answer before it to its own, than one that found the worker idle: it was
    /// served beside the other.
    Beside { queued_ns: u64, alone_ns: u64 },
    /// There is one worker: who waits for it waits as well at it.
    Alone,
    /// Too few have been answered.
    Answers,
    /// Most requests take this, ns: less than it would take to hand them over.
    Short { alone_ns: u64 },
    /// A worker that is free waits for so long until it is handed the next one: too long beside what a request takes, also if each
    /// holds one more.
    Gap { gap_ns: u64, alone_ns: u64 },
    /// So many of a hundred requests come on connections that are kept. Those do not wait in line, so those who do would wait
    /// for too long.
    Kept { percent: u64 },
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = |ns: &u64| ns / 1_000;
        match self {
            Doubt::Looks { have, need } => {
                write!(f, "{have} of {need} looks at busy workers have found none that waits for more")
            }
            Doubt::Waits => write!(f, "a worker that held a request waited for more"),
            Doubt::Hidden => write!(f, "what a worker waits for cannot be seen"),
            Doubt::Overtakes => write!(f, "younger requests are answered first"),
            Doubt::Beside { queued_ns, alone_ns } => {
                let (queued, alone) = (us(queued_ns), us(alone_ns));
                write!(f, "a request that waited takes {queued} us from the answer before it, one alone {alone} us")
            }
            Doubt::Alone => write!(f, "there is only one worker"),
            Doubt::Answers => write!(f, "too little has been answered"),
            Doubt::Short { alone_ns } => {
                write!(f, "a request takes {} us, handing it over is not worth it", us(alone_ns))
            }
            Doubt::Gap { gap_ns, alone_ns } => {
                let (gap, alone) = (us(gap_ns), us(alone_ns));
                write!(f, "a request takes {alone} us, and it took {gap} us to hand one over")
            }
            Doubt::Kept { percent } => write!(f, "{percent} of 100 requests come on connections that are kept"),
        }
    }
}

/// What is known of the workers.
#[derive(Debug)]
pub(crate) struct Auto {
    /// Looks that found nobody waiting for more, up to those needed, less what others took back.
    agreed: u32,
    needed: u32,
    /// Looks that agreed since the line has been open or fewer are needed.
    stood: u32,
    last: Option<Sight>,
    is_open: bool,
    looked: Option<Seat>,
    look_at: Instant,
    /// Looks since the last that said something.
    in_vain: u32,
    seen: BTreeMap<Seat, Seen>,
    kept: Kept,
    gap: Gap,
    doubt: Option<Doubt>,
}

impl Auto {
    pub(crate) fn new(now: Instant) -> Self {
        Auto {
            agreed: 0,
            needed: LOOKS,
            stood: 0,
            last: None,
            is_open: false,
            looked: None,
            look_at: now,
            in_vain: 0,
            seen: BTreeMap::new(),
            kept: Kept::default(),
            gap: Gap::default(),
            doubt: Some(Doubt::Looks { have: 0, need: LOOKS }),
        }
    }

    /// Whether it is time for a look.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now >= self.look_at
    }

    /// Which of the seats that hold a request is to be looked at now, each in its turn.
    pub(crate) fn next_to_see(&mut self, busy: &[Seat], now: Instant) -> Option<Seat> {
        let next = busy.iter().find(|seat| Some(**seat) > self.looked).or(busy.first()).copied()?;
        self.looked = Some(next);
        let is_known = self.agreed == self.needed || self.agreed == 0 && self.last.is_some() || self.in_vain >= LOOKS;
        self.in_vain = (self.in_vain + 1).min(LOOKS);
        self.look_at = now.after(if is_known { LOOK_AGAIN_EVERY } else { LOOK_EVERY });
        Some(next)
    }

    /// What the look has found.
    pub(crate) fn saw(&mut self, sight: Sight) {
        self.last = Some(sight);
        self.in_vain = 0;
        if let Some(seat) = self.looked {
            self.seen.entry(seat).or_default().count(sight);
        }
        self.agreed = match sight {
            Sight::Works => (self.agreed + 1).min(self.needed),
            Sight::Waits => self.agreed.saturating_sub(self.needed / 2),
            Sight::Hidden => 0,
        };
        if self.is_open && sight == Sight::Works {
            self.stood += 1;
            if self.stood >= self.needed {
                (self.stood, self.needed) = (0, (self.needed / 2).max(LOOKS));
                self.agreed = self.agreed.min(self.needed);
            }
        }
    }

    /// In a turn of the loop workers that were free have been handed requests, the one that was free for longest after so long.
    pub(crate) fn handed_over(&mut self, after_ns: u64) {
        self.gap.took(after_ns);
    }

    /// How many requests each worker is to have at once, 0 for as many as come; `books` are those of all that are chosen from.
    pub(crate) fn judge(&mut self, books: &[(Seat, SeatBooks)]) -> u32 {
        self.kept.count(books);
        self.seen.retain(|seat, _| books.iter().any(|(known, _)| known == seat));
        let was_open = self.is_open;
        self.doubt = self.doubt_by_looks().or_else(|| self.doubt_by_answers(books)).or_else(|| self.kept.doubt());
        self.is_open = self.doubt.is_none();
        let is_refuted =
            matches!(self.doubt, Some(Doubt::Waits | Doubt::Overtakes | Doubt::Beside { .. } | Doubt::Gap { .. }));
        if was_open && is_refuted {
            self.agreed = 0;
            self.needed = (self.needed * 2).min(MOST_LOOKS);
        }
        if !self.is_open {
            (self.gap, self.stood) = (Gap::default(), 0);
            return 0;
        }
        self.gap.concurrency()
    }

    /// What was found, in words.
    pub(crate) fn why(&self) -> String {
        match self.doubt {
            Some(doubt) => doubt.to_string(),
            None => format!("{} looks at busy workers have found none that waits for more{}", self.agreed, self.gap),
        }
    }

    /// What looks at a seat have found.
    pub(crate) fn seen(&self, seat: Seat) -> Seen {
        self.seen.get(&seat).copied().unwrap_or_default()
    }

    /// Why nobody waits in line; none if they do.
    pub(crate) fn doubt(&self) -> Option<Doubt> {
        self.doubt
    }

    fn doubt_by_looks(&self) -> Option<Doubt> {
        let is_enough = if self.is_open { self.agreed > 0 } else { self.agreed == self.needed };
        match self.last {
            _ if is_enough => None,
            Some(Sight::Waits) => Some(Doubt::Waits),
            Some(Sight::Hidden) => Some(Doubt::Hidden),
            _ => Some(Doubt::Looks { have: self.agreed, need: self.needed }),
        }
    }

    /// What the number of workers and their answers say against it.
    fn doubt_by_answers(&mut self, books: &[(Seat, SeatBooks)]) -> Option<Doubt> {
        let alone_ns = match alone_ns(books) {
            Ok(alone_ns) => alone_ns,
            Err(doubt) => return Some(doubt),
        };
        match self.gap.judge(alone_ns) {
            Some(gap_ns) => Some(Doubt::Gap { gap_ns, alone_ns }),
            None => (alone_ns < SHORT_NS).then_some(Doubt::Short { alone_ns }),
        }
    }
}

/// What a request takes that finds its worker idle, ns, or what says that it is no help to know.
fn alone_ns(books: &[(Seat, SeatBooks)]) -> Result<u64, Doubt> {
    if books.len() < 2 {
        return Err(Doubt::Alone);
    }
    let known =
        || books.iter().map(|(_, books)| books).filter(|books| books.answered >= ANSWERS && books.service_ns > 0);
    if known().any(|books| books.overtaking >= CONCURRENT) {
        return Err(Doubt::Overtakes);
    }
    let count = known().count() as u64;
    if count == 0 {
        return Err(Doubt::Answers);
    }
    let alone = |books: &SeatBooks| books.service_ns;
    let alone_ns = known().map(alone).sum::<u64>() / count;
    let waited = || known().filter(|books| books.queued_ns > 0);
    let (queued_ns, beside_ns) = (
        waited().map(|books| u64::from(books.queued_ns)).sum::<u64>() / count,
        waited().map(alone).sum::<u64>() / count,
    );
    if queued_ns < beside_ns - beside_ns / 4 {
        return Err(Doubt::Beside { queued_ns, alone_ns: beside_ns });
    }
    Ok(alone_ns)
}

/// How many requests come on connections that have had one before. What counts are answers: a handshake of TLS, and a preface of
/// HTTP/2 in it, are in flight as requests are.
#[derive(Debug, Default)]
struct Kept {
    /// Answers and connections of each seat, when last read.
    before: BTreeMap<Seat, (u64, u64)>,
    requests: u64,
    connections: u64,
}

impl Kept {
    fn count(&mut self, books: &[(Seat, SeatBooks)]) {
        for (seat, SeatBooks { answered, opened, .. }) in books {
            let (answered_before, opened_before) = self.before.get(seat).copied().unwrap_or((*answered, *opened));
            self.requests += answered.saturating_sub(answered_before);
            self.connections += opened.saturating_sub(opened_before);
        }
        self.before = books.iter().map(|(seat, books)| (*seat, (books.answered, books.opened))).collect();
        if self.requests >= 2 * REQUESTS {
            self.requests /= 2;
            self.connections /= 2;
        }
    }

    fn doubt(&self) -> Option<Doubt> {
        let kept = self.requests.saturating_sub(self.connections);
        (kept > self.requests / 8).then(|| Doubt::Kept { percent: kept * 100 / self.requests })
    }
}

#[cfg(test)]
#[path = "auto_tests.rs"]
mod tests;
