//! Any life of connections on a few seats, by the functions that the kernel runs: after every event the books are in
//! order, and every choice is a member of its group that nobody looked at is clearly better than.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use llb_common::{
    abi::{Conn, NO_SEAT, Seat, SeatSet},
    books::{apply, take},
    policy::Policy,
    select::{Choice, Fleet, Load, NEAR_NS, VISIT, choose, expected_ns, given, in_flight, near},
    set,
    track::{self, Closer, Phase, Step},
};

/// As many as one choice looks at, so that it has looked at all.
const SEATS: usize = VISIT as usize;

#[derive(Arbitrary, Debug)]
enum Event {
    /// A connection is chosen for, and established.
    Connect {
        policy: u8,
        turn: u32,
        least: u8,
    },
    BytesIn(u8),
    BytesOut(u8),
    Close {
        conn: u8,
        closer: u8,
    },
    ResetOut(u8),
    Move {
        conn: u8,
        to: u8,
    },
    /// Time passes, in 2^exponent ns.
    Wait {
        exponent: u8,
    },
    /// Userspace thinks again: [`cost_ns`].
    Publish {
        seat: u8,
        exponent: u8,
    },
}

#[derive(Default)]
struct World {
    seats: [Seat; SEATS],
    published_ns: [u64; SEATS],
    /// Seats of which it is said that they are idle, whether they are or not.
    rumour: SeatSet,
    last: u32,
    conns: Vec<Conn>,
    now: u64,
}

impl World {
    /// What the choice reckons with for an idle seat, ns.
    fn cost_ns(&self, seat: u32) -> u64 {
        self.load(seat).cost_ns
    }

    fn near(&self) -> SeatSet {
        near((0..SEATS as u32).map(|seat| (seat, self.cost_ns(seat))))
    }
}

impl Fleet for World {
    fn member(&self, place: u32) -> u32 {
        place
    }
    fn has(&self, seat: u32) -> bool {
        seat < SEATS as u32
    }
    fn idle(&self, near_only: bool) -> SeatSet {
        let near = if near_only { self.near() } else { [u64::MAX; 4] };
        let members = set::of(0..SEATS as u32);
        [0, 1, 2, 3].map(|word| self.rumour[word] & members[word] & near[word])
    }
    fn last(&self) -> u32 {
        if self.has(self.last) && set::contains(&self.near(), self.last) { self.last } else { NO_SEAT }
    }
    fn claim(&self, _: u32) -> bool {
        true
    }
    fn load(&self, seat: u32) -> Load {
        Load::of(&self.seats[seat as usize], self.published_ns[seat as usize])
    }
}

#[derive(Arbitrary, Debug)]
struct Story {
    /// What is published at first.
    exponents: [u8; SEATS],
    rumour: SeatSet,
    events: Vec<Event>,
}

fuzz_target!(|story: Story| {
    // The kernel's clock is never at its beginning.
    let mut world =
        World { published_ns: story.exponents.map(cost_ns), rumour: story.rumour, now: 1 << 40, ..World::default() };
    for event in story.events {
        world.happen(event);
        world.check();
    }
    world.end();
});

/// Up to some minutes, ns; 0 publishes nothing.
fn cost_ns(exponent: u8) -> u64 {
    (1 << (exponent % 40)) & !1
}

impl World {
    fn happen(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Connect { policy, turn, least } => self.connect(Policy::from_u32((policy % 6).into()), turn, least),
            Event::BytesIn(conn) => self.step(conn, |conn| track::bytes_in(conn, now)),
            Event::BytesOut(conn) => self.step(conn, |conn| track::bytes_out(conn, now)),
            Event::Close { conn, closer } => {
                let closer = [Closer::Worker, Closer::Client, Closer::Reset][usize::from(closer) % 3];
                self.step(conn, |conn| track::closing(conn, closer, now));
            }
            Event::ResetOut(conn) => self.step(conn, |conn| track::reset_out(conn, now)),
            Event::Move { conn, to } => self.migrate(conn, usize::from(to) % SEATS),
            // Up to some minutes.
            Event::Wait { exponent } => self.now += 1 << (exponent % 38),
            Event::Publish { seat, exponent } => {
                self.published_ns[usize::from(seat) % SEATS] = cost_ns(exponent);
            }
        }
        self.conns.retain(|conn| conn.phase != Phase::Closed as u32);
    }

    fn connect(&mut self, policy: Policy, turn: u32, least: u8) {
        let least = if usize::from(least) < SEATS { u32::from(least) } else { NO_SEAT };
        let seat = match choose(policy, self, SEATS as u32, least, turn, self.now) {
            Choice::Seat { seat, .. } => seat,
            Choice::Hash => turn % SEATS as u32,
            Choice::NoSeat => panic!("there are seats"),
        };
        if policy == Policy::LeastLatency {
            self.assert_good(seat);
        }
        self.charge(seat as usize);
        self.last = seat;
        let mut conn = Conn { seat, ..Conn::default() };
        let delta = take(&mut conn, &self.seats[seat as usize], Some(track::established(self.now)));
        apply(&mut self.seats[seat as usize], &delta, 0, self.now);
        self.conns.push(conn);
    }

    /// An idle seat is as good as the best idle one, whatever a busy one promises; a busy one is not clearly worse than what
    /// an idle one of its kind would do, or nobody is better.
    fn assert_good(&self, seat: u32) {
        let expected = |seat| expected_ns(self.load(seat), self.now);
        let best = expected(seat);
        let least = (0..SEATS as u32).map(|seat| self.cost_ns(seat)).min().expect("seats").max(NEAR_NS);
        if best <= least + least / 2 {
            return;
        }
        for other in 0..SEATS as u32 {
            // Each replacement gains an eighth at least, so what was passed over is not better by two eighths.
            assert!(expected(other) >= best - best / 4, "seat {other} is better than {seat}");
        }
    }

    /// As the kernel does: what is due is forgotten first.
    fn charge(&mut self, seat: usize) {
        let books = &mut self.seats[seat];
        if track::is_due(books, self.now) {
            let rolled = track::rolled(books, self.now);
            assert!(rolled.settled >= books.settled && !track::is_due(&rolled, self.now), "{books:?}");
            *books = rolled;
        }
        books.charged += 1;
    }

    fn step(&mut self, index: u8, step: impl Fn(&Conn) -> Option<Step>) {
        let count = self.conns.len().max(1);
        let Some(conn) = self.conns.get_mut(usize::from(index) % count) else { return };
        let taken = step(conn);
        let delta = take(conn, &self.seats[conn.seat as usize], taken);
        apply(&mut self.seats[conn.seat as usize], &delta, 0, self.now);
    }

    fn migrate(&mut self, index: u8, to: usize) {
        if self.conns.is_empty() {
            return;
        }
        self.charge(to);
        let index = usize::from(index) % self.conns.len();
        let conn = &mut self.conns[index];
        let (leaves, joins) = track::moved(conn);
        apply(&mut self.seats[conn.seat as usize], &leaves, 0, self.now);
        let joins = track::numbered(conn, joins, self.seats[to].begun);
        apply(&mut self.seats[to], &joins, 0, self.now);
        (conn.seat, conn.born) = (to as u32, u64::MAX);
    }

    fn check(&self) {
        let mut held = [(0, 0); SEATS];
        for conn in &self.conns {
            let (open, busy) = &mut held[conn.seat as usize];
            *open += u64::from(conn.phase != Phase::Reset as u32);
            *busy += u64::from(conn.phase == Phase::Busy as u32);
        }
        for (seat, (open, busy)) in self.seats.iter().zip(held) {
            assert_eq!(seat.opened - seat.closed, open, "{seat:?}");
            assert_eq!(in_flight(seat), busy, "{seat:?}");
            assert!(given(seat) <= busy && seat.passed <= seat.begun, "{seat:?}");
            assert!(seat.settled <= seat.charged, "more charges settled than made: {seat:?}");
        }
    }

    /// Whatever has happened, nothing is left when all connections are closed and charges have had their time.
    fn end(&mut self) {
        for _ in 0..self.conns.len() {
            self.happen(Event::Close { conn: 0, closer: 1 });
            self.happen(Event::ResetOut(0));
        }
        for seat in &mut self.seats {
            assert_eq!((seat.begun, seat.opened), (seat.ended, seat.closed), "{seat:?}");
            assert_eq!(track::outstanding_at(seat, self.now + (1 << 38)), 0, "{seat:?}");
        }
    }
}
