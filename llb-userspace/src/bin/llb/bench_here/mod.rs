//! `llb bench-here`: the demo's comparison on the user's own command. One fleet runs, and the policy alternates between the
//! kernel's hash and llb's choice, round by round: so both have the same processes, as warm, and a bad minute of the machine
//! meets both.
//!
//! The flow: capacity -> rate -> [`rounds::Rounds`] -> [`verdict::compare`] -> [`verdict::report`].

mod rounds;
mod verdict;

use std::{cell::Cell, net::SocketAddr, process::ExitCode, rc::Rc, time::Duration};

use anyhow::{Context, bail};
use llb::{Up, balancer::Policy, cli::BenchHere, config::Config, model::Slot};

use crate::{
    demo::load::{Failure, Talk},
    during,
};

/// A round is as long as this, so that there are enough of them to tell luck from difference.
const ROUND: Duration = Duration::from_secs(2);

/// How long the fleet is asked as fast as it answers, to find a rate.
const FIND: Duration = Duration::from_secs(2);

/// The share of what it answers then that it is asked in the rounds: a fleet that is half busy is what people run, and one
/// that is idle or overrun says nothing of a choice.
const SHARE: f64 = 0.5;

/// Faster than this one load generator is late itself, requests a second.
const MOST_A_SECOND: u32 = 2_000;

pub(crate) fn run(args: BenchHere) -> anyhow::Result<ExitCode> {
    let BenchHere { mut config, path, rate, time } = args;
    let rounds = time.saturating_sub(FIND).as_secs_f64() / (2.0 * ROUND.as_secs_f64());
    let pairs = rounds.floor() as u32;
    if pairs < verdict::FEWEST {
        let least = FIND + 2 * ROUND * verdict::FEWEST;
        bail!("--time {}: fewer than {} s are no comparison", humantime::format_duration(time), least.as_secs());
    }
    let policy = Rc::new(Cell::new(Policy::LeastLatency));
    let talk = talk(&path);
    config.policy = policy.get();
    let Config { program, workers, .. } = config.clone();
    let fleet = during::config("bench-here", config)?;
    let (rate, found, rounds) = during::during(fleet, policy.clone(), async |up: Up| {
        let address = address(&up)?;
        let found = rate.is_none();
        let rate = match rate {
            Some(rate) => rate,
            None => rate_for(rounds::capacity(address, &talk, workers, FIND).await?)?,
        };
        eprintln!(
            "asking {address} for {path} at {rate} requests/s, {pairs} rounds of {} s each way ...",
            ROUND.as_secs()
        );
        let rounds = rounds::measure(address, &talk, rate, ROUND, pairs, |to| policy.set(to)).await?;
        Ok((rate, found, rounds))
    })?;
    let title = format!(
        "{workers} workers of {}, {path} at {rate} requests/s{}",
        program.display(),
        if found { " (half of what they answer at most)" } else { "" },
    );
    print!("{}", verdict::report(&title, &rounds, &verdict::compare(&rounds.pairs)));
    Ok(ExitCode::SUCCESS)
}

/// Half of what is answered at most.
fn rate_for(capacity: f64) -> anyhow::Result<u32> {
    let rate = (capacity * SHARE) as u32;
    if rate == 0 {
        bail!("the fleet answers {capacity:.1} requests a second: too few for a comparison");
    }
    Ok(rate.min(MOST_A_SECOND))
}

/// A GET of one path on a connection of its own; all but an error of the server's is an answer.
fn talk(path: &str) -> Talk {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    Talk::new(move |_| request.clone(), read)
}

fn read(head: &[u8]) -> Result<Slot, Failure> {
    let status = std::str::from_utf8(head.get(..12).unwrap_or_default()).ok();
    match status.and_then(|head| head.strip_prefix("HTTP/1.")?.get(2..)?.parse::<u32>().ok()) {
        Some(500..) => Err(Failure::Error),
        // Which worker it was is not asked.
        Some(_) => Ok(Slot(0)),
        None => Err(Failure::NotUnderstood),
    }
}

/// Where the fleet is asked.
fn address(up: &Up) -> anyhow::Result<SocketAddr> {
    let mut address = *up.addresses.first().context("the workers listen on no TCP port that llb steers")?;
    if up.addresses.iter().any(|other| other.port() != address.port()) {
        bail!("the workers listen on several ports: say by -p which to ask");
    }
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_server_is_no_answer() {
        assert_eq!(read(b"HTTP/1.1 200 OK\r\n\r\n"), Ok(Slot(0)));
        assert_eq!(read(b"HTTP/1.0 404 Not Found\r\n\r\n"), Ok(Slot(0)));
        assert_eq!(read(b"HTTP/1.1 503 Service Unavailable\r\n\r\n"), Err(Failure::Error));
        assert_eq!(read(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), Err(Failure::NotUnderstood));
        assert_eq!(read(b"HTTP/1.1 "), Err(Failure::NotUnderstood));
    }

    #[test]
    fn a_rate_that_is_found_is_half_of_all_and_not_none() {
        assert_eq!(rate_for(301.0).unwrap(), 150);
        assert_eq!(rate_for(1e6).unwrap(), MOST_A_SECOND);
        assert!(rate_for(1.5).is_err());
    }
}
