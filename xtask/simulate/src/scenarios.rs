//! The settings that a policy must get right all at once.

use super::{
    MS, SECOND,
    scenario::{BASE, Failing, Kept, Nature, Scenario, USUAL, Work},
    worker::Serving,
};

const EXPONENTIAL: Work = Work::Exponential(5.0 * MS as f64);

/// One worker is ten times slower than the others.
const ONE_SLOW: fn(usize, usize) -> Nature =
    |worker, _| Nature { slowness: if worker == 0 { 10.0 } else { 1.0 }, ..USUAL };

/// One worker hangs for 2 s, every 10 s.
const ONE_HANGS: fn(usize, usize) -> Nature =
    |worker, _| Nature { hangs: (worker == 0).then_some((10 * SECOND, 2 * SECOND)), ..USUAL };

const fn tail(name: &'static str, workers: usize, load: f64, requests: usize) -> Scenario {
    Scenario { name, workers, load, requests, ..BASE }
}

/// All, in the order of the report.
pub(super) const ALL: &[Scenario] = &[
    tail("tail-2-70", 2, 0.70, 20_000),
    tail("tail-4-70", 4, 0.70, 20_000),
    tail("tail-8-45", 8, 0.45, 30_000),
    tail("tail-8-70", 8, 0.70, 30_000),
    tail("tail-8-90", 8, 0.90, 30_000),
    tail("tail-8-95", 8, 0.95, 30_000),
    tail("tail-16-70", 16, 0.70, 30_000),
    tail("tail-16-90", 16, 0.90, 30_000),
    tail("tail-64-70", 64, 0.70, 60_000),
    tail("tail-64-90", 64, 0.90, 60_000),
    tail("tail-256-70", 256, 0.70, 80_000),
    tail("tail-256-90", 256, 0.90, 80_000),
    tail("tail-256-95", 256, 0.95, 80_000),
    Scenario {
        about: "16 groups of 256: the hash chooses the group",
        requests: 150_000,
        ..tail("tail-4096-90", 4096, 0.9, 150_000)
    },
    Scenario {
        name: "pareto",
        about: "bounded Pareto, 1 ms to 1 s; short is below 10 ms",
        work: Work::Pareto { least: 1.0 * MS as f64, most: 1_000.0 * MS as f64 },
        ..BASE
    },
    Scenario {
        name: "hit-or-miss",
        about: "half take 0.1 ms and half 5 ms",
        work: Work::Half { short: 0.1 * MS as f64, long: 5.0 * MS as f64 },
        ..BASE
    },
    Scenario {
        name: "event-loop",
        about: "each worker shares itself among all it holds",
        serving: Serving::AllAtOnce,
        ..BASE
    },
    Scenario {
        name: "event-loop-even",
        about: "each worker shares itself among all it holds; exponential 5 ms",
        serving: Serving::AllAtOnce,
        work: EXPONENTIAL,
        ..BASE
    },
    Scenario { name: "threads", about: "each worker has four threads", serving: Serving::Threads(4), ..BASE },
    Scenario {
        name: "threads-slow-one",
        about: "each worker has four threads; one of eight is ten times slower",
        serving: Serving::Threads(4),
        nature: ONE_SLOW,
        ..BASE
    },
    Scenario {
        name: "threads-90",
        about: "each worker has four threads",
        load: 0.9,
        serving: Serving::Threads(4),
        ..BASE
    },
    Scenario {
        name: "waits",
        about: "each worker has room for sixteen requests, which wait for 20 ms each and come in bursts",
        load: 0.5,
        burst: 32,
        serving: Serving::Threads(16),
        work: Work::Fixed(20.0 * MS as f64),
        ..BASE
    },
    Scenario {
        name: "threads-hang",
        about: "each worker has four threads; one of eight hangs for 2 s, every 10 s",
        load: 0.45,
        serving: Serving::Threads(4),
        nature: ONE_HANGS,
        ..BASE
    },
    Scenario {
        name: "event-loop-slow",
        about: "each worker shares itself among all it holds; one of eight is ten times slower",
        serving: Serving::AllAtOnce,
        nature: ONE_SLOW,
        ..BASE
    },
    Scenario {
        name: "event-loop-hang",
        about: "each worker shares itself among all it holds; one of eight hangs for 2 s, every 10 s",
        load: 0.45,
        serving: Serving::AllAtOnce,
        nature: ONE_HANGS,
        ..BASE
    },
    Scenario {
        name: "slow-one",
        about: "exponential 5 ms; one of eight is ten times slower",
        work: EXPONENTIAL,
        nature: ONE_SLOW,
        ..BASE
    },
    Scenario {
        name: "slow-one-tail",
        about: "the heavy tail, and one of eight is ten times slower",
        nature: ONE_SLOW,
        ..BASE
    },
    Scenario {
        name: "unequal",
        about: "exponential 5 ms; from as fast as usual to eight times slower",
        work: EXPONENTIAL,
        nature: |worker, workers| Nature { slowness: 1.0 + 7.0 * worker as f64 / (workers - 1).max(1) as f64, ..USUAL },
        ..BASE
    },
    Scenario { name: "hang", about: "one of eight hangs for 2 s, every 10 s", load: 0.45, nature: ONE_HANGS, ..BASE },
    Scenario {
        name: "error-fast",
        about: "5 ms; one of eight answers errors after 50 us, from 3 s on",
        work: Work::Fixed(5.0 * MS as f64),
        load: 0.6,
        nature: |worker, _| Nature { failing: (worker == 0).then_some(Failing::Answers), ..USUAL },
        ..BASE
    },
    Scenario {
        name: "close-fast",
        about: "5 ms; one of eight closes after 50 us without an answer, from 3 s on",
        work: Work::Fixed(5.0 * MS as f64),
        load: 0.6,
        nature: |worker, _| Nature { failing: (worker == 0).then_some(Failing::Closes), ..USUAL },
        ..BASE
    },
    Scenario {
        name: "burst",
        about: "bursts of 64 within a round trip of 2 ms",
        burst: 64,
        round_trip: (1.0 * MS as f64, 2.0 * MS as f64),
        ..BASE
    },
    Scenario {
        name: "burst-fixed",
        about: "5 ms each; bursts of 64 within a round trip of 2 ms",
        work: Work::Fixed(5.0 * MS as f64),
        burst: 64,
        round_trip: (1.0 * MS as f64, 2.0 * MS as f64),
        ..BASE
    },
    Scenario {
        name: "burst-far",
        about: "bursts of 64 from clients 50 ms and more away",
        burst: 64,
        round_trip: (50.0 * MS as f64, 80.0 * MS as f64),
        ..BASE
    },
    Scenario {
        name: "far-clients",
        about: "20 ms to hundreds from the SYN to the first byte",
        round_trip: (20.0 * MS as f64, 80.0 * MS as f64),
        ..BASE
    },
    Scenario {
        name: "master-dead",
        about: "one of eight is ten times slower; nothing is published from 3 s on",
        work: EXPONENTIAL,
        nature: ONE_SLOW,
        master_dies: true,
        ..BASE
    },
    Scenario {
        name: "join",
        about: "two of eight join at 3 s, one of them ten times slower",
        load: 0.6,
        work: EXPONENTIAL,
        nature: |worker, _| Nature { joins_late: worker < 2, slowness: if worker == 0 { 10.0 } else { 1.0 }, ..USUAL },
        ..BASE
    },
    Scenario {
        name: "cheap",
        about: "50 us each",
        work: Work::Fixed(0.05 * MS as f64),
        round_trip: (0.02 * MS as f64, 0.05 * MS as f64),
        ..BASE
    },
    Scenario {
        name: "cheap-256",
        about: "50 us each",
        work: Work::Fixed(0.05 * MS as f64),
        round_trip: (0.02 * MS as f64, 0.05 * MS as f64),
        workers: 256,
        load: 0.9,
        requests: 80_000,
        ..BASE
    },
    Scenario { name: "flood", about: "10,000 SYNs a second are never completed", flood: 10_000.0, ..BASE },
    Scenario {
        name: "silent-far",
        about: "as many connections never send; all clients are 50 ms and more away",
        round_trip: (50.0 * MS as f64, 80.0 * MS as f64),
        silent: 1.0,
        ..BASE
    },
    Scenario {
        name: "flood-far",
        about: "10,000 SYNs a second are never completed; clients are 50 ms and more away",
        round_trip: (50.0 * MS as f64, 80.0 * MS as f64),
        flood: 10_000.0,
        ..BASE
    },
    Scenario { name: "silent", about: "as many connections never send", silent: 1.0, ..BASE },
    EVENTS,
    Scenario {
        name: "polls",
        about: "25 ms each, beside eight long polls, half headers or slow uploads",
        kept: (8, Kept::Asks),
        ..EVENTS
    },
    Scenario { name: "polls-70", about: "the same, busier", load: 0.7, kept: (8, Kept::Asks), ..EVENTS },
    Scenario {
        name: "polls-many",
        about: "25 ms each, beside 18 long polls: some workers hold more of them",
        kept: (18, Kept::Asks),
        ..EVENTS
    },
    Scenario {
        name: "polls-tail",
        about: "the heavy tail, beside sixteen long polls",
        workers: 8,
        load: 0.45,
        work: BASE.work,
        requests: 30_000,
        kept: (16, Kept::Asks),
        ..EVENTS
    },
    Scenario {
        name: "polls-slow-one",
        about: "exponential 5 ms, beside eight long polls; one of four is ten times slower",
        work: EXPONENTIAL,
        nature: ONE_SLOW,
        kept: (8, Kept::Asks),
        ..EVENTS
    },
    Scenario {
        name: "polls-hang",
        about: "25 ms each, beside eight long polls; one of four hangs for 2 s, every 10 s",
        nature: ONE_HANGS,
        kept: (8, Kept::Asks),
        ..EVENTS
    },
    Scenario {
        name: "streams",
        about: "25 ms each, beside 16 streams, WebSockets or pooled connections",
        kept: (16, Kept::Rests),
        ..EVENTS
    },
    Scenario {
        name: "one-way",
        about: "25 ms each, beside 40 clients that send 15 ms of work a second and get no answer",
        load: 0.2,
        kept: (40, Kept::Sends(15 * MS)),
        ..EVENTS
    },
    Scenario {
        name: "cold",
        about: "25 ms each; the first thirty of each worker take three times as long",
        requests: 600,
        nature: |_, _| Nature { cold: (30, 3.0), ..USUAL },
        ..EVENTS
    },
    Scenario {
        name: "join-cold",
        about: "25 ms each; one of four joins at 3 s, and its first thirty take three times as long",
        requests: 600,
        nature: |worker, _| Nature {
            joins_late: worker == 0,
            cold: if worker == 0 { (30, 3.0) } else { (0, 1.0) },
            ..USUAL
        },
        ..EVENTS
    },
    Scenario {
        name: "error-says",
        about: "25 ms each; one of four answers 500 after 3 ms, from 3 s on",
        nature: |worker, _| Nature { failing: (worker == 0).then_some(Failing::Says(3 * MS)), ..USUAL },
        ..EVENTS
    },
];

/// Four event loops that stand still for each request, as long for each.
pub(super) const EVENTS: Scenario = Scenario {
    name: "events",
    about: "25 ms each",
    workers: 4,
    load: 0.4,
    requests: 20_000,
    work: Work::Fixed(25.0 * MS as f64),
    ..BASE
};
