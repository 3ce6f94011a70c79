//! The connections of a run, from a seed: the same for every way to choose.

use llb_kit::random::Random;

use super::{
    MS, SECOND,
    scenario::{Kept, Scenario},
};

/// What a connection is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A request; `short` ones are measured.
    Request { work_ns: u64, short: bool },
    /// It is established and never sends: a browser's pre-connection.
    Silent,
    /// Its handshake is never completed.
    Flood,
    /// It stays.
    Kept(Kept),
}

/// Time between two connections that stay, ns.
const KEPT_EVERY: u64 = 20 * MS;

/// A connection: its SYN comes at `at`, and its first byte a round trip later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) at: u64,
    pub(super) round_trip_ns: u64,
    pub(super) kind: Kind,
    /// Which group it goes to, where there are several: the kernel's hash.
    pub(super) hash: u32,
}

/// Poisson arrivals, each of a burst of one or more; by time.
pub(super) fn arrivals(scenario: &Scenario, seed: u64) -> Vec<Arrival> {
    let mut random = Random::stream(seed, 1);
    let mut arrivals = Vec::new();
    let gap = SECOND as f64 / scenario.rate() * scenario.burst as f64;
    let (least, mean) = scenario.round_trip;
    let round_trip = |random: &mut Random| (least + random.exponential(mean - least)) as u64;
    let mut at = 0.0;
    while arrivals.len() < scenario.requests {
        at += random.exponential(gap);
        for _ in 0..scenario.burst {
            let (work_ns, short) = scenario.work.draw(&mut random);
            let within = if scenario.burst > 1 { random.unit() * mean } else { 0.0 };
            arrivals.push(Arrival {
                at: (at + within) as u64,
                round_trip_ns: round_trip(&mut random),
                kind: Kind::Request { work_ns, short },
                hash: random.any_u32(),
            });
        }
    }
    let mut add = |kind, rate: f64| {
        let mut then = random.exponential(SECOND as f64 / rate);
        while then < at {
            let round_trip_ns = round_trip(&mut random);
            arrivals.push(Arrival { at: then as u64, round_trip_ns, kind, hash: random.any_u32() });
            then += random.exponential(SECOND as f64 / rate);
        }
    };
    add(Kind::Silent, scenario.silent * scenario.rate());
    add(Kind::Flood, scenario.flood);
    let (count, kept) = scenario.kept;
    arrivals.extend((0..count as u64).map(|place| Arrival {
        at: place * KEPT_EVERY,
        round_trip_ns: round_trip(&mut random),
        kind: Kind::Kept(kept),
        hash: random.any_u32(),
    }));
    arrivals.sort_by_key(|arrival| arrival.at);
    arrivals
}

#[cfg(test)]
mod tests {
    use super::{super::scenario::BASE, *};

    #[test]
    fn a_seed_gives_one_run_and_another_seed_another() {
        assert_eq!(arrivals(&BASE, 1), arrivals(&BASE, 1));
        assert_ne!(arrivals(&BASE, 1), arrivals(&BASE, 2));
    }

    #[test]
    fn the_rate_is_right_with_bursts_and_without() {
        for burst in [1, 64] {
            let scenario = Scenario { burst, requests: 300_000, ..BASE };
            let all = arrivals(&scenario, 1);
            let rate = all.len() as f64 / all.last().unwrap().at as f64 * SECOND as f64;
            assert!((rate / scenario.rate() - 1.0).abs() < 0.05, "{rate}");
        }
    }

    #[test]
    fn silent_ones_and_a_flood_come_beside_the_requests() {
        let all = arrivals(&Scenario { silent: 1.0, flood: 500.0, ..BASE }, 1);
        let of = |wanted| all.iter().filter(|arrival| arrival.kind == wanted).count();
        assert!(of(Kind::Silent).abs_diff(BASE.requests) < BASE.requests / 50);
        let expected = all.last().unwrap().at as f64 / SECOND as f64 * 500.0;
        assert!((of(Kind::Flood) as f64 / expected - 1.0).abs() < 0.05);
    }
}
