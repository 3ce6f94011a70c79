//! What each program goes through.

use std::{
    path::Path,
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::{
    alone::Alone,
    client::{self, Lost},
    fleet::Fleet,
    load::{Clients, Tally, under},
    program::{Program, Speaks},
    provide::Installed,
    stage::Stage,
    verdict::faults,
};

const ADDRESS: &str = "127.0.0.1:8080";

/// How often a program is ended without llb: with llb twelve workers are ended by reloads.
const ALONE: usize = 5;

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

/// Those that ask a program, those with new connections first: one whose work can be told, and any other.
const HTTP: &[Clients] = &[NEW, KEPT, LONG];
const LINES: &[Clients] = &[NEW, KEPT];

/// What came of one program.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) version: String,
    /// Why a trial could not be made.
    pub(crate) error: Option<String>,
    /// How many of the four were given connections.
    pub(crate) steered: usize,
    /// All clients, while nothing happens.
    pub(crate) quiet: Tally,
    /// Three reloads: what clients with new connections lost, and what those that keep theirs lost.
    pub(crate) reloads_new: Tally,
    pub(crate) reloads_kept: Tally,
    /// How many of the twelve copies that were replaced were ended because their time to finish was over.
    #[serde(default)]
    pub(crate) overdue: usize,
    /// One worker is killed.
    pub(crate) kill: Tally,
    /// New code that cannot start: `llb reload`'s exit code, and what clients lost.
    pub(crate) broken: Option<(Option<i32>, Tally)>,
    /// What is begun before a reload.
    pub(crate) reload: Option<Begun>,
    /// What is begun before llb is stopped.
    pub(crate) stop: Option<Begun>,
    /// Workers end themselves after some requests.
    pub(crate) recycled: Option<Tally>,
    /// One copy without llb is asked to end: what its clients lose.
    pub(crate) alone: Tally,
    pub(crate) alone_stop: Option<Begun>,
}

/// Whether what was begun came whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Begun {
    /// A stream of six seconds.
    pub(crate) stream: bool,
    /// A request of three.
    pub(crate) request: bool,
}

/// Drives one program; `few`: without llb only to learn whether it would have lost the same.
pub(crate) fn of(program: &Program, installed: &Installed, llb: &Path, few: bool) -> Outcome {
    let mut outcome = Outcome::default();
    let tried = try_all(program, installed, llb, &mut outcome).and_then(|()| {
        let is_told = few && faults(program, &outcome).is_empty();
        if is_told { Ok(()) } else { alone(program, installed, &mut outcome) }
    });
    outcome.error = tried.err().map(|error| format!("{error:#}"));
    Stage::clear(program);
    outcome
}

fn try_all(program: &Program, installed: &Installed, llb: &Path, outcome: &mut Outcome) -> Result<()> {
    let speaks = &program.speaks;
    let works = matches!(speaks, Speaks::Http);
    outcome.version = installed.version(program)?;
    let mut fleet = Fleet::start(program, program.command, installed, llb)?;

    let all = if works { HTTP } else { LINES };
    let kept = &all[1..];
    (outcome.quiet, ()) = under(speaks, ADDRESS, all, |_| thread::sleep(Duration::from_secs(3)));
    let status = fleet.status()?;
    let workers = status["workers"].as_array().into_iter().flatten();
    outcome.steered = workers.filter(|worker| worker["chosen"].as_u64().is_some_and(|chosen| chosen > 0)).count();

    let (new, (kept, done)) = under(speaks, ADDRESS, &[NEW], |_| under(speaks, ADDRESS, kept, |_| reloads(&fleet)));
    (outcome.reloads_new, outcome.reloads_kept, outcome.overdue) = (new, kept, fleet.overdue());
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
        let asked = Asked::begin();
        fleet.reload()?;
        outcome.reload = Some(asked.end());
        fleet.settle()?;
        let asked = Asked::begin();
        fleet.stop()?;
        outcome.stop = Some(asked.end());
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

/// The same load on one copy without llb, which is asked to end, several times: what it loses is seldom.
fn alone(program: &Program, installed: &Installed, outcome: &mut Outcome) -> Result<()> {
    let all = if matches!(program.speaks, Speaks::Http) { HTTP } else { LINES };
    for round in 0..ALONE {
        let mut alone = Alone::start(program, ADDRESS, installed)?;
        let asked = (round == 0 && matches!(program.speaks, Speaks::Http)).then(Asked::begin);
        let (tally, ended) = under(&program.speaks, ADDRESS, all, |_| {
            thread::sleep(Duration::from_secs(1));
            alone.end()
        });
        ended?;
        outcome.alone.add(tally);
        drop(alone);
        if let Some(asked) = asked {
            outcome.alone_stop = Some(asked.end());
        }
    }
    // Nobody listens any more.
    outcome.alone.lost.remove("refused");
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

/// A stream and a long request.
struct Asked {
    stream: JoinHandle<Result<client::Answer, Lost>>,
    request: JoinHandle<Result<client::Answer, Lost>>,
}

impl Asked {
    /// Begins both, and waits until the program has them in work.
    fn begin() -> Self {
        let begin = |path: String| thread::spawn(move || client::get(&mut client::connect(ADDRESS)?, &path, false));
        let asked = Self { stream: begin(format!("/stream/{PARTS}")), request: begin("/ms/3000".into()) };
        thread::sleep(Duration::from_millis(700));
        asked
    }

    fn end(self) -> Begun {
        let stream = self.stream.join().is_ok_and(|answer| {
            answer.is_ok_and(|answer| {
                let body = String::from_utf8_lossy(&answer.body);
                body.matches("part").count() == PARTS && body.contains("end")
            })
        });
        Begun { stream, request: self.request.join().is_ok_and(|answer| answer.is_ok()) }
    }
}
