//! What each program goes through.

use std::{path::Path, thread, time::Duration};

use anyhow::Result;

use crate::{
    catalogue::{Program, Speaks},
    client::{self, Lost},
    clock::now,
    fleet::Fleet,
    load::{Clients, Tally, under},
    provide::Installed,
};

const ADDRESS: &str = "127.0.0.1:8080";

/// How many parts the streams have, one each half second.
const PARTS: usize = 12;

/// New connections, 20 ms of work each.
const NEW: Clients =
    Clients { count: 2, work: Duration::from_millis(20), pause: Duration::from_millis(20), keep: false };

/// Clients that keep their connection and pause for 50 ms between short requests.
const KEPT: Clients =
    Clients { count: 6, work: Duration::from_millis(20), pause: Duration::from_millis(50), keep: true };

/// The same with a second of work for each request.
const LONG: Clients = Clients { count: 2, work: Duration::from_secs(1), pause: Duration::from_millis(50), keep: true };

/// What came of one program.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Why a trial could not be made.
    pub(crate) error: Option<String>,
    /// How many of the four were given connections.
    pub(crate) steered: usize,
    /// Three reloads: what clients with new connections lost, and what those that keep theirs lost.
    pub(crate) reloads_new: Tally,
    pub(crate) reloads_kept: Tally,
    /// One worker is killed.
    pub(crate) kill: Tally,
    /// New code that cannot start: `llb reload`'s exit code, and what clients lost.
    pub(crate) broken: Option<(Option<i32>, Tally)>,
    /// Streams: whether one that is begun before a reload, and one that is begun before the stop, comes whole.
    pub(crate) stream_reload: Option<bool>,
    pub(crate) stream_stop: Option<bool>,
    /// A request of three seconds at the stop.
    pub(crate) request_stop: Option<bool>,
    /// Workers end themselves after some requests.
    pub(crate) recycled: Option<Tally>,
}

impl Outcome {
    /// Whether all is as it should be.
    pub(crate) fn holds(&self, program: &Program) -> bool {
        let kept = program.own_losses.is_some() || self.reloads_kept.lost() == 0;
        self.error.is_none()
            && self.steered == 4
            && self.reloads_new.lost() == 0
            && kept
            // Only what the killed one held.
            && self.kill.lost() <= 8
            && self.broken.as_ref().is_none_or(|(code, tally)| *code == Some(6) && tally.lost() == 0)
            && [self.stream_reload, self.stream_stop, self.request_stop].iter().all(|whole| *whole != Some(false))
            && self.recycled.as_ref().is_none_or(|tally| tally.lost() == 0)
    }
}

/// Drives one program.
pub(crate) fn of(program: &Program, installed: &Installed, llb: &Path) -> Outcome {
    let mut outcome = Outcome::default();
    let tried = try_all(program, installed, llb, &mut outcome);
    outcome.error = tried.err().map(|error| format!("{error:#}"));
    crate::fleet::clear();
    outcome
}

fn try_all(program: &Program, installed: &Installed, llb: &Path, outcome: &mut Outcome) -> Result<()> {
    let speaks = &program.speaks;
    let works = matches!(speaks, Speaks::Http);
    let mut fleet = Fleet::start(program, program.command, installed, llb)?;

    under(speaks, ADDRESS, &[NEW], |_| thread::sleep(Duration::from_secs(2)));
    let status = fleet.status()?;
    let workers = status["workers"].as_array().into_iter().flatten();
    outcome.steered = workers.filter(|worker| worker["chosen"].as_u64().is_some_and(|chosen| chosen > 0)).count();

    let kept: &[Clients] = if works { &[KEPT, LONG] } else { &[KEPT] };
    let (new, (kept, done)) = under(speaks, ADDRESS, &[NEW], |_| under(speaks, ADDRESS, kept, |_| reloads(&fleet)));
    (outcome.reloads_new, outcome.reloads_kept) = (new, kept);
    done?;

    let (killed, done) = under(speaks, ADDRESS, &[NEW], |_| {
        thread::sleep(Duration::from_millis(300));
        fleet.kill_one()?;
        thread::sleep(Duration::from_secs(2));
        fleet.settle()
    });
    outcome.kill = killed;
    done?;

    if program.breaks {
        fleet.break_code(true)?;
        let (tally, code) = under(speaks, ADDRESS, &[NEW], |_| fleet.reload());
        fleet.break_code(false)?;
        outcome.broken = Some((code?, tally));
        fleet.settle()?;
    }
    if works {
        let stream = begin_stream();
        thread::sleep(Duration::from_millis(700));
        fleet.reload()?;
        outcome.stream_reload = Some(is_whole(stream));
        fleet.settle()?;

        let stream = begin_stream();
        let request = thread::spawn(|| client::post(&mut client::connect(ADDRESS)?, "/ms/3000", false));
        thread::sleep(Duration::from_millis(700));
        fleet.stop()?;
        outcome.stream_stop = Some(is_whole(stream));
        outcome.request_stop = Some(request.join().is_ok_and(|answer| answer.is_ok()));
    } else {
        fleet.stop()?;
    }

    if let Some(command) = program.recycles {
        let fleet = Fleet::start(program, command, installed, llb)?;
        let rush = Clients { count: 6, work: Duration::ZERO, pause: Duration::from_millis(20), keep: false };
        let (tally, ()) = under(speaks, ADDRESS, &[rush], |_| thread::sleep(Duration::from_secs(10)));
        outcome.recycled = Some(tally);
        drop(fleet);
    }
    Ok(())
}

/// Three reloads, each when the one before has come to its end.
fn reloads(fleet: &Fleet) -> Result<()> {
    thread::sleep(Duration::from_millis(500));
    for _ in 0..3 {
        anyhow::ensure!(fleet.reload()? == Some(0), "a reload failed");
        fleet.settle()?;
    }
    Ok(())
}

type Stream = thread::JoinHandle<Result<client::Answer, Lost>>;

fn begin_stream() -> Stream {
    thread::spawn(|| client::get(&mut client::connect(ADDRESS)?, &format!("/stream/{PARTS}"), false))
}

fn is_whole(stream: Stream) -> bool {
    let begun = now();
    let answer = stream.join();
    let is_whole = answer.as_ref().is_ok_and(|answer| {
        answer.as_ref().is_ok_and(|answer| {
            let body = String::from_utf8_lossy(&answer.body);
            body.matches("part").count() == PARTS && body.contains("end")
        })
    });
    if !is_whole {
        eprintln!("a stream after {:.1} s: {answer:?}", begun.elapsed().as_secs_f64());
    }
    is_whole
}
