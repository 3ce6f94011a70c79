//! What llb's two halves share: the layout of the maps ([`abi`]), the names of programs and maps ([`names`]),
//! the choice of a seat ([`select`], [`set`]), what connections say ([`wire`]), the books of a connection ([`track`], [`histogram`]) and what becomes of each choice
//! ([`outcome`]).
//!
//! The kernel program, the tests and any simulation call the very same functions, so nothing here allocates,
//! reads a clock, or loops without a constant bound. All times are nanoseconds of `CLOCK_MONOTONIC`, which is
//! what the kernel's `bpf_ktime_get_ns` returns.
//!
//! # The choice
//!
//! [`select::choose`] is what the selector runs for each connection, over whatever knows the seats' loads:
//!
//! ```
//! use llb_common::{
//!     abi::{NO_SEAT, SeatSet},
//!     policy::Policy,
//!     select::{Choice, Fleet, Load, choose},
//! };
//!
//! /// Two seats that answer in a millisecond; the first has had a request for half a second.
//! struct Two;
//! impl Fleet for Two {
//!     fn member(&self, place: u32) -> u32 {
//!         place
//!     }
//!     fn has(&self, seat: u32) -> bool {
//!         seat < 2
//!     }
//!     fn idle(&self, _near_only: bool) -> SeatSet {
//!         [0b10, 0, 0, 0]
//!     }
//!     fn last(&self) -> u32 {
//!         NO_SEAT
//!     }
//!     fn claim(&self, _seat: u32) -> bool {
//!         true
//!     }
//!     fn load(&self, seat: u32) -> Load {
//!         Load { requests: u64::from(seat == 0), since: 500_000_000, cost_ns: 1_000_000, ..Load::default() }
//!     }
//! }
//!
//! let now = 1_000_000_000;
//! let choice = choose(Policy::LeastLatency, &Two, 2, NO_SEAT, 0, now);
//! assert_eq!(choice, Choice::Seat { seat: 1, first: false });
//! ```
//!
//! A [`select::Fleet`] may also say how a search goes on ([`select::Search::step`]), which seats to draw from, and which of
//! them are awake, as the kernel does for its verifier's sake:
//!
//! ```
//! use llb_common::{
//!     abi::{NO_SEAT, SeatSet},
//!     policy::Policy,
//!     select::{
//!         Awake, Choice, Fleet, Load, Search, Weight, awake, believable_ns, choose, clearly_better, expected_ns, near, weigh,
//!     },
//!     set,
//! };
//!
//! struct Group([Load; 3]);
//!
//! impl Fleet for Group {
//!     fn awake(&self, seat: u32, now: u64) -> Awake {
//!         awake(self.load(seat), now)
//!     }
//!     fn weigh(&self, seat: u32, by_count: bool, now: u64) -> Weight {
//!         weigh(self.load(seat), by_count, now)
//!     }
//!     fn draw(&self, set: &SeatSet, turn: u32) -> Option<u32> {
//!         set::draw(set, turn)
//!     }
//!     fn search(&self, search: &mut Search, times: u32, now: u64) {
//!         let _ = (0..times).any(|before| search.step(self, before, now));
//!     }
//! #   fn member(&self, place: u32) -> u32 { place }
//! #   fn has(&self, seat: u32) -> bool { seat < 3 }
//!     fn fewest(&self) -> SeatSet {
//!         set::of([0, 1].into_iter())
//!     }
//! #   fn idle(&self, _: bool) -> SeatSet { [0; 4] }
//! #   fn last(&self) -> u32 { 0 }
//! #   fn claim(&self, _: u32) -> bool { true }
//!     fn load(&self, seat: u32) -> Load {
//!         self.0[seat as usize]
//!     }
//!     // And the others, as above.
//! }
//!
//! // Three seats of 1 ms, 1.05 ms and 8 ms; the first has two requests, and has served one of them for half a millisecond.
//! let now = 1_000_000_000;
//! let busy = Load { requests: 2, since: now - 500_000, cost_ns: 1_000_000, ..Load::default() };
//! let idle = Load { cost_ns: 1_050_000, ..Load::default() };
//! let slow = Load { cost_ns: 8_000_000, ..Load::default() };
//! assert_eq!(expected_ns(busy, now), 2 * 1_000_000 + 750_000);
//! assert!(clearly_better(expected_ns(idle, now), expected_ns(busy, now)));
//! assert!(!clearly_better(busy.cost_ns, idle.cost_ns), "an eighth is a tie");
//! let costs = [busy, idle, slow].map(|load| load.cost_ns);
//! assert_eq!(near((0..).zip(costs)), set::of([0, 1].into_iter()));
//! // One that is twenty times faster than half of its fellows most likely answers errors.
//! assert_eq!(believable_ns(50_000, 1_000_000), 2_000_000);
//! let choice = choose(Policy::LeastLatency, &Group([busy, idle, slow]), 3, NO_SEAT, 0, now);
//! assert_eq!(choice, Choice::Seat { seat: 1, first: false });
//! ```
//!
//! # The books
//!
//! [`track`] turns what happens to a connection into changes of its seat; [`books`] enters them, as the kernel does with
//! atomic additions:
//!
//! ```
//! use llb_common::{
//!     abi::{Conn, Seat},
//!     books,
//!     select::{Load, in_flight, outstanding},
//!     track::{self, Closer, Delta, Pace, Phase, Step},
//! };
//!
//! const MS: u64 = 1_000_000;
//! let (mut seat, mut conn) = (Seat::default(), Conn::default());
//! let mut enter = |seat: &mut Seat, conn: &mut Conn, step: Option<Step>, now| {
//!     let delta: Delta = books::take(conn, seat, step);
//!     books::apply(seat, &delta, 0, now);
//! };
//!
//! // Chosen and so charged, established, asked within 10 ms, answered 5 ms later.
//! seat.charged += 1;
//! enter(&mut seat, &mut conn, Some(track::established(100 * MS)), 100 * MS);
//! assert_eq!((outstanding(&seat), in_flight(&seat)), (1, 0));
//! assert!(track::may_begin(&conn));
//! let asked = track::bytes_in(&conn, 102 * MS);
//! enter(&mut seat, &mut conn, asked, 102 * MS);
//! assert_eq!((outstanding(&seat), in_flight(&seat)), (0, 1));
//! assert!(track::may_answer(&conn));
//! let answered = track::bytes_out(&conn, 107 * MS);
//! enter(&mut seat, &mut conn, answered, 107 * MS);
//! assert_eq!((seat.answered, Pace::of(&seat, 0).service_ns), (1, 5 * MS));
//! assert_eq!(Load::of(&seat, 0).cost_ns, 5 * MS);
//! // One that has answered nothing is taken to cost as much while it is busy.
//! assert_eq!(Load::default().or_like(5 * MS).queued_ns, 5 * MS);
//!
//! // Asked again on the same connection, which is then reset; and the reset is the worker's.
//! let asked = track::bytes_in(&conn, 200 * MS);
//! enter(&mut seat, &mut conn, asked, 200 * MS);
//! let closed = track::closing(&conn, Closer::Reset, 201 * MS);
//! enter(&mut seat, &mut conn, closed, 201 * MS);
//! assert!(conn.phase == Phase::Reset as u32 && track::may_fail(&conn));
//! let reset = track::reset_out(&conn, 201 * MS);
//! enter(&mut seat, &mut conn, reset, 201 * MS);
//! assert_eq!((seat.failed, in_flight(&seat)), (1, 0));
//! ```
//!
//! And the numbers in them:
//!
//! ```
//! use llb_common::{abi::{Conn, Seat}, select, track::{self, Delta, Mark, Pace, Phase}};
//!
//! const MS: u64 = 1_000_000;
//! // A request a hundred times as long moves the centre by an eighth; what failed costs a quarter more.
//! assert_eq!(track::centre_after(64 * MS, 6_400 * MS, track::FEW_SAMPLES) / MS, 72);
//! let failed = track::pace_after(Pace { service_ns: 4 * MS, ..Pace::default() }, &Seat::default(), &Delta { failed: 1, ..Delta::default() }, 0);
//! assert_eq!(failed.service_ns, 5 * MS);
//!
//! // Charges that never became requests are forgotten: after 10 ms, or a handshake's time if clients are far away.
//! assert_eq!(track::roll_ns(track::handshake_after(0, 80_000)), 80 * MS);
//! let charged = Seat { charged: 3, due_at: 100 * MS, ..Seat::default() };
//! assert!(!track::is_due(&charged, 99 * MS) && track::is_due(&charged, 101 * MS));
//! assert_eq!(track::rolled(&charged, 101 * MS).mark, 3);
//! assert_eq!((track::outstanding_at(&charged, 101 * MS), track::outstanding_at(&charged, 150 * MS)), (3, 0));
//!
//! // A connection that waits and moves to another seat takes its request along.
//! let (from, to) = track::moved(&Conn { phase: Phase::Busy as u32, ..Conn::default() });
//! assert_eq!((from.ended, to.begun), (1, 1));
//!
//! // The seat's third request is answered, on a connection that came after the first two: they are parked, and the worker
//! // was given nothing since.
//! let answer = Delta { ended: 1, answered: 1, ticket: 2, born: 2, ..Delta::default() };
//! let Mark { alive, passed } = track::mark_after(Mark::of(&Seat::default()), &answer);
//! assert_eq!(select::given(&Seat { begun: 3, ended: 1, alive, passed, ..Seat::default() }), 0);
//! assert!(track::is_progress(&answer, true));
//! // Or the worker has been seen to wait for connections, when three had begun.
//! assert_eq!(track::mark_at(3), Mark { alive: 3, passed: 3 });
//! assert_eq!(track::first_roll_at(0, 5 * MS), 15 * MS);
//! assert_eq!(track::numbered(&mut Conn::default(), Delta { begun: 1, ..Delta::default() }, 7).ticket, 7);
//! ```
//!
//! # The wire
//!
//! [`wire`] reads what is new of a segment, and leaves in its direction of the connection what that says; [`track`] makes a
//! step of it:
//!
//! ```
//! use llb_common::{
//!     abi::{Conn, Direction, Words},
//!     track::{self, Phase},
//!     wire::{self, Fresh, Payload, Seen},
//! };
//!
//! struct Bytes(&'static [u8]);
//! impl Payload for Bytes {
//!     fn load<const N: usize>(&self, at: u32) -> Option<[u8; N]> {
//!         self.0.get(at as usize..at as usize + N)?.try_into().ok()
//!     }
//!     fn frames(&self, out: bool, direction: &mut Direction, fresh: Fresh) {
//!         wire::read_frames(out, direction, fresh, self);
//!     }
//!     fn offers_http2(&self, fresh: Fresh) -> bool {
//!         wire::offers_http2(fresh, self)
//!     }
//!     fn records(&self, direction: &mut Direction, seen: Seen, fresh: Fresh) {
//!         wire::read_records(direction, seen, fresh, self);
//!     }
//!     fn record_in(&self, direction: &mut Direction, seen: Seen, record: u32) {
//!         wire::record_in(direction, seen, record);
//!     }
//!     fn record_out(&self, direction: &mut Direction, seen: Seen, record: u32) {
//!         wire::record_out(direction, seen, record);
//!     }
//! }
//!
//! let direction = Direction { next: 1_000, ..Direction::default() };
//! let (inward, outward) = (direction, direction);
//! let mut conn = Conn { phase: Phase::Fresh as u32, inward, outward, ..Conn::default() };
//! let request = Bytes(b"GET / HTTP/1.1\r\n\r\n");
//! let fresh = wire::advance(&mut conn.inward, 1_000, 18);
//! assert_eq!(fresh, Some(Fresh { at: 0, end: 18, gap: false }));
//! wire::note_ack(&mut conn, 1_000);
//! wire::read_in(conn.state, conn.phase, &mut conn.inward, fresh.unwrap(), &request);
//! let words: Words = conn.inward.words;
//! assert!(words.matter(conn.state) && words.begins == 1);
//! let step = track::payload_in(&conn, &words, 0, 5);
//! llb_common::books::take(&mut conn, &llb_common::abi::Seat::default(), step);
//! assert_eq!((wire::in_flight(&conn), wire::is_ticketless(&conn)), (1, false));
//! // The same again is a retransmission.
//! assert_eq!(wire::advance(&mut conn.inward, 1_000, 18), None);
//!
//! let answer = Bytes(b"HTTP/1.1 503 Service Unavailable\r\n\r\n");
//! let fresh = wire::advance(&mut conn.outward, 1_000, 36).unwrap();
//! wire::read_out(conn.state, conn.phase, &mut conn.outward, fresh, wire::NO_TICKETS, &answer);
//! assert_eq!(wire::learnt(&conn.outward.words, 0), None);
//! let step = track::payload_out(&conn, &conn.outward.words, 9).unwrap();
//! assert_eq!((step.delta.answered, step.delta.errors), (1, 1));
//! assert!(wire::protocol(step.state) != wire::TLS && wire::protocol(step.state) != wire::OPAQUE);
//! ```
//!
//! # What is counted
//!
//! ```
//! use llb_common::{
//!     abi::BUCKETS,
//!     histogram::{bucket, end, quantile},
//!     outcome::{Outcome, Stage},
//!     policy::Policy,
//!     set,
//! };
//!
//! let mut latencies = [0; BUCKETS];
//! latencies[bucket(5_000_000) as usize] += 1;
//! assert_eq!(quantile(&latencies, 500), end(bucket(5_000_000)));
//!
//! assert_eq!((Outcome::PassedOver.index(), Outcome::PassedOver.name()), (1, "passed_over"));
//! assert!(Outcome::PassedOver.is_chosen() && Outcome::PassedOver.stage() == Stage::Select);
//! assert_eq!(Policy::from_u32(Policy::Argmin.as_u32()).name(), "argmin");
//!
//! let seats = set::of([3, 200].into_iter());
//! assert!(set::contains(&seats, 200) && !set::contains(&seats, 4));
//! assert_eq!((seats[0], set::count(seats[3])), (set::bit(3), 1));
//! assert_eq!((set::draw(&seats, 1), set::nth(seats[0], 0)), (Some(200), 3));
//! ```
#![no_std]

pub mod abi;
pub mod books;
pub mod flow;
pub mod histogram;
pub mod line;
pub mod names;
pub mod outcome;
pub mod policy;
pub mod quic;
pub mod select;
pub mod set;
pub mod sticky;
pub mod track;
pub mod why;
pub mod wire;
