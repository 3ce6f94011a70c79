//! The simulation against theory, and against itself.

use std::thread;

use llb_common::policy::Policy;

use super::{
    MS,
    arrivals::arrivals,
    figures::quantiles,
    method::{ALL, Method},
    scenario::{BASE, Failing, Nature, Scenario, USUAL, Work},
    scenarios::{ALL as SCENARIOS, EVENTS},
    world::run,
};

fn mean_ms(ns: &[u64]) -> f64 {
    ns.iter().sum::<u64>() as f64 / ns.len() as f64 / MS as f64
}

const NEAR: (f64, f64) = (0.0, 0.0);

#[test]
fn one_worker_is_an_m_m_1_queue() {
    let work = Work::Exponential(5.0 * MS as f64);
    let scenario = Scenario { workers: 1, load: 0.7, requests: 400_000, work, round_trip: NEAR, ..BASE };
    for method in [Method::Central, Method::Llb(Policy::LeastLatency, 10 * MS)] {
        let outcome = run(&scenario, method, &arrivals(&scenario, 1), 1);
        // Mean time in the system: 1 / (service rate - arrival rate) = 5 / (1 - 0.7) ms.
        let mean = mean_ms(&outcome.all_ns);
        assert!((mean / (5.0 / 0.3) - 1.0).abs() < 0.05, "{method:?} {mean}");
    }
}

#[test]
fn one_worker_with_equal_work_is_an_m_d_1_queue() {
    let work = Work::Fixed(5.0 * MS as f64);
    let scenario = Scenario { workers: 1, load: 0.8, requests: 400_000, work, round_trip: NEAR, ..BASE };
    let outcome = run(&scenario, Method::Central, &arrivals(&scenario, 2), 2);
    // Pollaczek-Khinchine: wait = load / (2 (1 - load)) services.
    let mean = mean_ms(&outcome.all_ns);
    assert!((mean / (5.0 + 5.0 * 0.8 / 0.4) - 1.0).abs() < 0.05, "{mean}");
}

#[test]
fn the_central_queue_is_an_m_m_c_queue() {
    let work = Work::Exponential(5.0 * MS as f64);
    let scenario = Scenario { workers: 2, load: 0.8, requests: 400_000, work, round_trip: NEAR, ..BASE };
    let outcome = run(&scenario, Method::Central, &arrivals(&scenario, 3), 3);
    // Erlang C for two servers: mean time in the system = service / (1 - load^2).
    let mean = mean_ms(&outcome.all_ns);
    assert!((mean / (5.0 / (1.0 - 0.64)) - 1.0).abs() < 0.05, "{mean}");
}

#[test]
fn a_seed_replays() {
    let scenario = Scenario { requests: 3_000, silent: 0.5, flood: 100.0, burst: 8, ..BASE };
    for method in ALL {
        let once = || run(&scenario, method, &arrivals(&scenario, 5), 5);
        assert_eq!(once(), once(), "{method:?}");
    }
}

#[test]
fn every_request_is_answered_once_or_fails() {
    let nature = |worker, _| Nature { failing: (worker == 0).then_some(Failing::Closes), ..USUAL };
    let scenario = Scenario { requests: 5_000, nature, trouble_at: 0, ..BASE };
    for method in ALL {
        let outcome = run(&scenario, method, &arrivals(&scenario, 5), 5);
        assert_eq!(outcome.all_ns.len() + outcome.failed, 5_000, "{method:?}");
    }
}

#[test]
fn no_way_to_choose_beats_the_central_queue_with_equal_workers() {
    for seed in 1..=3 {
        let scenario = Scenario { requests: 20_000, load: 0.8, ..BASE };
        let all = arrivals(&scenario, seed);
        let mean = |method| mean_ms(&run(&scenario, method, &all, seed).all_ns);
        // In the long run. Among twenty thousand requests another order may do better by a few thousandths.
        let ideal = 0.99 * mean(Method::Central);
        for method in &ALL[1..] {
            assert!(mean(*method) >= ideal, "{method:?}, seed {seed}");
        }
    }
}

#[test]
fn least_latency_is_near_the_ideal_where_a_hash_is_far() {
    let scenario = Scenario { load: 0.45, ..BASE };
    let all = arrivals(&scenario, 1);
    let p99 = |method| quantiles(&run(&scenario, method, &all, 1))[2];
    let ideal = p99(Method::Central);
    assert!(p99(Method::Llb(Policy::LeastLatency, 10 * MS)) < 2.0 * ideal);
    assert!(p99(Method::Llb(Policy::Hash, 10 * MS)) > 10.0 * ideal);
}

const OURS: Method = Method::Llb(Policy::LeastLatency, 10 * MS);
const OTHERS: [Method; 3] = [
    Method::Llb(Policy::LeastInflight, 10 * MS),
    Method::Llb(Policy::RoundRobin, 10 * MS),
    Method::Llb(Policy::Hash, 10 * MS),
];

fn named(name: &str) -> &'static Scenario {
    SCENARIOS.iter().find(|scenario| scenario.name == name).unwrap()
}

/// The p99 of ours and of the best of the others, ns.
fn of_the_best(scenario: &Scenario, seed: u64) -> (f64, f64) {
    let all = arrivals(scenario, seed);
    let p99 = |method| quantiles(&run(scenario, method, &all, seed))[2];
    (p99(OURS), OTHERS.map(p99).into_iter().fold(f64::INFINITY, f64::min))
}

#[test]
fn nothing_beside_requests_costs_a_tenth() {
    let costs_little = |name| {
        // The best of three in one run of each is the luck of that one.
        let mut ratios = [1, 2, 3].map(|seed| {
            let (ours, best) = of_the_best(named(name), seed);
            ours / best
        });
        ratios.sort_by(f64::total_cmp);
        assert!(ratios[1] <= 1.1 && ratios[2] <= 1.25, "{name}: {ratios:?}");
    };
    // All at once: it is most of what the tests here compute.
    thread::scope(|scope| {
        let names = [
            "events",
            "polls",
            "polls-70",
            "polls-many",
            "polls-tail",
            "streams",
            "one-way",
            "waits",
            "cold",
            "join-cold",
        ];
        for name in names {
            scope.spawn(move || costs_little(name));
        }
    });
}

#[test]
fn polls_hide_no_slow_worker() {
    let (ours, best) = of_the_best(named("polls-slow-one"), 1);
    assert!(ours <= 0.5 * best, "{ours} {best}");
}

#[test]
fn errors_that_say_so_draw_nobody() {
    let natures: [fn(usize, usize) -> Nature; 3] =
        [|worker, _| failing(worker, MS), |worker, _| failing(worker, 3 * MS), |worker, _| failing(worker, 10 * MS)];
    for (which, nature) in natures.into_iter().enumerate() {
        let scenario = Scenario { nature, trouble_at: 0, requests: 5_000, ..EVENTS };
        let failed = |method| run(&scenario, method, &arrivals(&scenario, 1), 1).failed;
        let (ours, hash) = (failed(OURS), failed(OTHERS[2]));
        assert!(ours < hash / 10, "{which}: {ours} {hash}");
    }
}

fn failing(worker: usize, ns: u64) -> Nature {
    Nature { failing: (worker == 0).then_some(Failing::Says(ns)), ..USUAL }
}
