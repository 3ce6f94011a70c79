//! The machine against what can be reckoned by hand.

use llb_common::policy::Policy;

use super::{
    run::run,
    scenarios::{ALL, Clients, Machine},
};
use crate::{
    MS,
    figures::quantiles_of,
    method::{self, Method},
    scenario::Work,
};

const LEAST_LATENCY: Method = Method::Llb(Policy::LeastLatency, 10 * MS);

fn named(name: &str) -> Machine {
    *ALL.iter().find(|machine| machine.name == name).unwrap()
}

#[test]
fn one_client_and_one_worker_on_one_core_take_turns() {
    let machine =
        Machine { cores: 1, workers: 1, clients: Clients::Closed(1), requests: 1_000, ..named("machine-cheap") };
    // Connect 15, send 10, wake 7; then the worker: awake 20, serve 20, wake 7; then the client: awake 20. 99 us.
    for method in [Method::Central, LEAST_LATENCY] {
        let rate = run(&machine, method, 1).rate;
        assert!((rate / (1e6 / 99.0) - 1.0).abs() < 0.01, "{method:?} {rate}");
    }
}

#[test]
fn cores_are_shared_out_and_nothing_is_lost() {
    let work = Work::Fixed(1.0 * MS as f64);
    // Twice what two cores can do: the rate is theirs.
    let machine = Machine { clients: Clients::Open(4_000.0), work, requests: 8_000, ..named("machine-cheap") };
    let asked = run(&machine, LEAST_LATENCY, 1);
    assert_eq!(asked.short_ns.len(), 8_000);
    assert!((1_900.0..1_970.0).contains(&asked.rate), "{}", asked.rate);
}

#[test]
fn a_seed_replays() {
    let machine = Machine { requests: 3_000, ..named("machine-cheap") };
    for method in method::ALL {
        assert_eq!(run(&machine, method, 5), run(&machine, method, 5), "{method:?}");
    }
}

#[test]
fn least_latency_wakes_fewer_where_waking_costs_more_than_waiting() {
    let machine = named("machine-open-50");
    let (own, count) = (run(&machine, LEAST_LATENCY, 1), run(&machine, Method::Llb(Policy::LeastInflight, 10 * MS), 1));
    assert!(own.woken < count.woken / 2.0, "{} {}", own.woken, count.woken);
    assert!(quantiles_of(&own.short_ns)[2] < quantiles_of(&count.short_ns)[2] / 2.0);
}
