//! Connections that wait on a worker which dies.

use std::{io, net::SocketAddr, time::Duration};

use llb_common::outcome::Outcome;
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

use super::{
    missing::{Missing, Tried},
    steer::{FleetFixture, IDLE, PATIENCE, choose, counted},
};
use crate::{fleet::find, kernel::Steering, model::Seat, sys::socket};

/// Connections that wait: a few, as one could be lucky.
const WAITING: usize = 4;

/// Who gets them.
const TARGET: Seat = Seat(0);

/// How long a worker that is woken takes at the most; it takes less than a millisecond.
const WAKING: Duration = Duration::from_millis(500);

/// Lets connections wait on the idle worker, kills it, and sees whether another one answers them all. Returns whether
/// the kernel woke that one for it; if not, llb's own way must do.
pub(super) async fn migrate(steering: &Steering, fleet: &mut FleetFixture, cookies: &[u64]) -> Tried<bool> {
    let idle = Seat(IDLE.0);
    choose(steering, idle);
    let mut waiting = connect(fleet.address)
        .await
        .map_err(|error| missing(format!("cannot connect to an idle worker: {error}"), steering))?;
    let there = steering.books().seat(idle).charged;
    if there != WAITING as u64 {
        return Err(missing(format!("{there} of {WAITING} connections wait where they were meant to"), steering));
    }

    // From here on the target does nothing but wait for connections.
    choose(steering, TARGET);
    let killed = fleet.helpers.get(IDLE.0 as usize).map_or(Ok(()), super::fixture::Helper::kill);
    killed.map_err(|error| missing(format!("cannot kill a worker: {error}"), steering))?;

    let mut answers = Vec::new();
    let woken = match timeout(WAKING, read(&mut waiting, &mut answers)).await {
        Ok(read) => read.map(|()| true),
        Err(_) => match wake_target(fleet, cookies) {
            Ok(()) => timeout(PATIENCE, read(&mut waiting, &mut answers))
                .await
                .unwrap_or_else(|late| Err(late.into()))
                .map(|()| false),
            Err(error) => Err(error),
        },
    };
    let moved = steering.counters().map(|counters| counters.get(Outcome::Migrated)).unwrap_or_default();
    let elsewhere = answers.iter().filter(|slot| u32::from(**slot) != TARGET.0).count();
    match woken {
        Ok(woken) if elsewhere == 0 && moved == WAITING as u64 => Ok((
            woken,
            format!("{WAITING} of {WAITING} connections that waited on a killed worker were answered by another"),
        )),
        Ok(_) => Err(missing(
            format!("{moved} of {WAITING} waiting connections moved to where they were meant to"),
            steering,
        )),
        Err(error) => {
            let answered = answers.len();
            Err(missing(
                format!("{answered} of {WAITING} connections of a killed worker were answered: {error}"),
                steering,
            ))
        }
    }
}

/// The note on whether the target was woken.
pub(super) fn say(woken: bool) -> &'static str {
    if woken {
        "a worker that sleeps is woken by a connection that moves to it"
    } else {
        "a worker that sleeps is not woken by a connection that moves to it (this kernel lacks commit 3864c6ba1e04); \
         llb wakes it"
    }
}

/// Wakes the target as a fleet's llb does it.
fn wake_target(fleet: &FleetFixture, cookies: &[u64]) -> io::Result<()> {
    let at = TARGET.0 as usize;
    let (Some(helper), Some(cookie)) = (fleet.helpers.get(at), cookies.get(at)) else { return Ok(()) };
    let processes = helper.cgroup.processes().map_err(io::Error::other)?;
    socket::wake(find::listener(&processes, *cookie).map_err(io::Error::other)?.0)
}

async fn connect(address: SocketAddr) -> io::Result<Vec<TcpStream>> {
    let all = async {
        let mut streams = Vec::new();
        for _ in 0..WAITING {
            streams.push(TcpStream::connect(address).await?);
        }
        Ok(streams)
    };
    timeout(PATIENCE, all).await?
}

/// Reads each stream's byte; goes on where it was interrupted.
async fn read(streams: &mut [TcpStream], answers: &mut Vec<u8>) -> io::Result<()> {
    while let Some(stream) = streams.get_mut(answers.len()) {
        answers.push(stream.read_u8().await?);
    }
    Ok(())
}

fn missing(what: String, steering: &Steering) -> Missing {
    Missing::new(
        format!("{what} ({})", counted(steering)),
        "report this with `llb doctor --json` and `uname -a`; until then a crash resets the connections that wait",
    )
}
