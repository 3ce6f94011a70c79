//! Connections that wait on a worker which dies.

use std::{io, net::SocketAddr, time::Duration};

use llb_common::outcome::Outcome;
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

use super::{
    missing::{Missing, Tried},
    steer::{Crew, IDLE, PATIENCE, ask, choose, counted},
};
use crate::{kernel::Steering, model::Seat};

/// Connections that wait: a few, as one could be lucky.
const WAITING: usize = 4;

/// Who gets them.
const HEIR: Seat = Seat(0);

/// How long a worker that is woken takes at the most; it takes less than a millisecond.
const WAKING: Duration = Duration::from_millis(500);

/// Lets connections wait on the idle worker, kills it, and sees whether another one answers them all. Returns whether
/// that one was woken for it.
pub(super) async fn migrate(steering: &Steering, crew: &mut Crew) -> Tried<bool> {
    let idle = Seat(IDLE.0);
    choose(steering, idle);
    let mut waiting = connect(crew.address)
        .await
        .map_err(|error| missing(format!("cannot connect to an idle worker: {error}"), steering))?;
    let there = steering.books().seat(idle).charged;
    if there != WAITING as u64 {
        return Err(missing(format!("{there} of {WAITING} connections wait where they were meant to"), steering));
    }

    // From here on the heir does nothing but wait for connections.
    choose(steering, HEIR);
    let killed = crew.helpers.get(IDLE.0 as usize).map_or(Ok(()), super::ground::Helper::kill);
    killed.map_err(|error| missing(format!("cannot kill a worker: {error}"), steering))?;

    let mut answers = Vec::new();
    let woken = match timeout(WAKING, read(&mut waiting, &mut answers)).await {
        Ok(read) => read.map(|()| true),
        // A new connection wakes the heir, which then finds them all.
        Err(_) => match ask(crew.address).await {
            Ok(_) => timeout(PATIENCE, read(&mut waiting, &mut answers))
                .await
                .unwrap_or_else(|late| Err(late.into()))
                .map(|()| false),
            Err(error) => Err(error),
        },
    };
    let moved = steering.counters().map(|counters| counters.get(Outcome::Migrated)).unwrap_or_default();
    let strangers = answers.iter().filter(|slot| u32::from(**slot) != HEIR.0).count();
    match woken {
        Ok(woken) if strangers == 0 && moved == WAITING as u64 => Ok((
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

/// The note on whether the heir was woken.
pub(super) fn say(woken: bool) -> &'static str {
    if woken {
        "a worker that sleeps is woken by a connection that moves to it"
    } else {
        "a worker that sleeps is not woken by a connection that moves to it, only by its next one (this kernel lacks \
         commit 3864c6ba1e04); llb drains a worker before it ends it, so only crashes are affected"
    }
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
