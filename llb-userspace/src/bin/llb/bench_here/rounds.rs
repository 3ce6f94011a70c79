//! The rounds: the same requests under each policy, in turn.

use std::{net::SocketAddr, time::Duration};

use anyhow::bail;
use llb::balancer::Policy;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::demo::{
    arrivals::{Arrival, Work, poisson},
    load::{self, Talk},
    summary::Summary,
};

/// Until the selector goes by a policy that has been set: a few times what llb takes to publish it.
const SETTLE: Duration = Duration::from_millis(100);

/// Not measured, under each policy: what follows finds warm workers.
const WARM_UP: Duration = Duration::from_millis(500);

/// Two rounds of the same requests, one under each policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    /// Latencies under the kernel's hash, ns, ascending. A request without an answer counts as the time that the load waits.
    pub hash: Vec<u64>,
    /// The same under llb.
    pub llb: Vec<u64>,
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Rounds {
    pub pairs: Vec<Pair>,
    /// Requests without an answer under the hash, and under llb.
    pub unanswered: [usize; 2],
    /// How late the load sent its latest request, ns.
    pub latest_ns: u64,
}

/// Runs the pairs; `set` sets the policy. The order within a pair alternates, so that neither is always the one after the other.
pub(super) async fn measure(
    address: SocketAddr,
    talk: &Talk,
    rate: u32,
    time: Duration,
    pairs: u32,
    set: impl Fn(Policy),
) -> anyhow::Result<Rounds> {
    let round = async |policy: Policy, arrivals: Vec<Arrival>| {
        set(policy);
        sleep(SETTLE).await;
        let outcomes = load::run(address, arrivals, talk.clone()).await?;
        match Summary::of(&outcomes, 1) {
            Some(summary) => Ok(summary),
            None => bail!("{rate} requests/s are no load: raise the rate"),
        }
    };
    for policy in [Policy::Hash, Policy::LeastLatency] {
        round(policy, requests(rate, WARM_UP, 0)).await?;
    }
    let mut rounds = Rounds::default();
    for number in 0..pairs {
        let arrivals = requests(rate, time, u64::from(number) + 1);
        let (hash, llb) = if number % 2 == 0 {
            let hash = round(Policy::Hash, arrivals.clone()).await?;
            (hash, round(Policy::LeastLatency, arrivals).await?)
        } else {
            let llb = round(Policy::LeastLatency, arrivals.clone()).await?;
            (round(Policy::Hash, arrivals).await?, llb)
        };
        for (side, summary) in [&hash, &llb].into_iter().enumerate() {
            rounds.unanswered[side] += summary.unanswered();
            rounds.latest_ns = rounds.latest_ns.max(summary.latest_ns());
        }
        rounds.pairs.push(Pair { hash: hash.short_ns().to_vec(), llb: llb.short_ns().to_vec() });
    }
    Ok(rounds)
}

/// When requests are due; all are alike, what they cost is the worker's affair.
fn requests(rate: u32, time: Duration, seed: u64) -> Vec<Arrival> {
    let mut arrivals = poisson(rate, time, seed);
    arrivals.iter_mut().for_each(|arrival| arrival.work = Work::Short);
    // At a low rate a short time may have none.
    if arrivals.is_empty() && rate > 0 {
        arrivals.push(Arrival { due_ns: 0, work: Work::Short });
    }
    arrivals
}

/// How many requests a second are answered if there are always two for each worker.
pub(super) async fn capacity(address: SocketAddr, talk: &Talk, workers: u32, time: Duration) -> anyhow::Result<f64> {
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..2 * workers {
        let talk = talk.clone();
        clients.spawn(async move {
            let (mut answered, mut failure) = (0_u32, None);
            while began.elapsed() < time {
                match load::ask_now(address, &talk).await.answer {
                    Ok(_) => answered += 1,
                    Err(why) => {
                        failure = Some(why);
                        // A server that refuses is not to be asked a million times.
                        sleep(SETTLE).await;
                    }
                }
            }
            (answered, failure)
        });
    }
    let results = clients.join_all().await;
    let answered: u32 = results.iter().map(|(answered, _)| answered).sum();
    if let (0, Some(failure)) = (answered, results.iter().find_map(|(_, failure)| *failure)) {
        bail!("nobody answers at {address}: the request was {failure}");
    }
    Ok(f64::from(answered) / began.elapsed().as_secs_f64())
}
