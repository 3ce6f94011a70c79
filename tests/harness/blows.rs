//! What befalls a fleet in a storm, at random.

use std::{
    collections::BTreeMap,
    env,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use llb::internals::clock;
use llb_kit::random::Random;
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{DEADLINE, Fleet, holds_within, stopped::Stopped, until};

const SLOTS_MAX: u64 = 6;

/// The times of a worker that is stopped, and of peace between two blows, ms at the most.
const STOPPED_MS: u64 = 700;
const PEACE_MS: u64 = 250;

/// How long new code is watched.
const WATCH: &str = "1s";

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: a number")))
}

/// What befalls a fleet.
pub(crate) struct Storm {
    random: Random,
    args: Vec<&'static str>,
    command: Vec<String>,
    /// Connections that workers held when they were killed: accepted, or waiting, which others answer.
    pub lost: u64,
    /// How often what has befallen it.
    pub blows: BTreeMap<&'static str, u64>,
}

impl Storm {
    /// A storm over the fleet that is started with these.
    pub(crate) fn new(args: &[&'static str], command: &[&str]) -> Self {
        let seed = number("LLB_STORM_SEED", clock::now().0);
        // Shown if the test fails.
        println!("LLB_STORM_SEED={seed}");
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        Storm { random: Random::stream(seed, 0), args: args.to_vec(), command, lost: 0, blows: BTreeMap::new() }
    }

    /// Strikes for this long, or `LLB_STORM_SECONDS`.
    pub(crate) fn rage(&mut self, fleet: &mut Fleet, seconds: u64) {
        let until = clock::now().after(Duration::from_secs(number("LLB_STORM_SECONDS", seconds)));
        while clock::now() < until {
            self.strike(fleet);
            thread::sleep(Duration::from_millis(self.random.below(PEACE_MS)));
        }
    }

    fn strike(&mut self, fleet: &mut Fleet) {
        let blow = match self.random.below(13) {
            0..3 => self.kill_worker(fleet),
            3..6 => self.stop_worker(fleet),
            6 => self.reload(fleet, &[]),
            7 => self.reload(fleet, &["--rolling"]),
            8 => self.reload_and_kill(fleet),
            9 => self.scale(fleet),
            10 => self.drain(fleet),
            11 => self.canary(fleet),
            _ => self.kill_master(fleet),
        };
        *self.blows.entry(blow).or_default() += 1;
    }

    /// A worker that serves, if any does just now.
    fn victim(&mut self, fleet: &Fleet) -> Option<Pid> {
        let status = fleet.status();
        let serving: Vec<_> = status.workers.iter().filter(|worker| worker.state == "serving").collect();
        let picked = serving.get(self.random.below(serving.len().max(1) as u64) as usize)?;
        Some(Pid::from_raw(picked.pid.cast_signed()))
    }

    /// Stopped first, so that what it holds can be counted.
    fn kill_worker(&mut self, fleet: &Fleet) -> &'static str {
        if let Some(victim) = self.victim(fleet)
            && let Some(stopped) = Stopped::stop_if_there(victim)
        {
            let workers = fleet.status().workers;
            let held = workers.iter().find(|worker| worker.pid == victim.as_raw().cast_unsigned());
            self.lost += held.map_or(0, |worker| worker.open.unwrap_or(0));
            // Its time to drain may have been up.
            let killed = kill(victim, Signal::SIGKILL);
            assert!(matches!(killed, Ok(()) | Err(Errno::ESRCH)), "{killed:?}");
            drop(stopped);
        }
        "kill"
    }

    fn stop_worker(&mut self, fleet: &Fleet) -> &'static str {
        if let Some(victim) = self.victim(fleet)
            && let Some(stopped) = Stopped::stop_if_there(victim)
        {
            thread::sleep(Duration::from_millis(self.random.below(STOPPED_MS)));
            drop(stopped);
        }
        "stop"
    }

    fn reload(&mut self, fleet: &Fleet, args: &[&str]) -> &'static str {
        assert_code(fleet.command("reload").args(args), &[0]);
        if args.is_empty() { "reload" } else { "rolling reload" }
    }

    /// The one that is killed may be a new one: once it is ready that does not end the reload.
    fn reload_and_kill(&mut self, fleet: &Fleet) -> &'static str {
        let mut reload = quietly(fleet.command("reload").stdin(Stdio::null())).spawn().expect("llb");
        self.kill_worker(fleet);
        let ended = reload.wait().expect("a child");
        assert!(ended.success(), "llb reload: {ended}");
        "reload and kill"
    }

    fn scale(&mut self, fleet: &Fleet) -> &'static str {
        let workers = (2 + self.random.below(SLOTS_MAX - 1)).to_string();
        assert_code(fleet.command("scale").arg(workers), &[0]);
        "scale"
    }

    /// And filled again. It is refused where no other slot serves just now.
    fn drain(&mut self, fleet: &Fleet) -> &'static str {
        let slot = self.random.below(2).to_string();
        assert_code(fleet.command("drain").arg(&slot), &[0, 7]);
        assert_code(fleet.command("restart").arg(&slot), &[0]);
        "drain"
    }

    /// And rolled back, where the new one happens to be slower.
    fn canary(&mut self, fleet: &Fleet) -> &'static str {
        assert_code(fleet.command("reload").args(["--canary", "1", "--watch", WATCH]), &[0, 6]);
        "canary"
    }

    /// While one serves: without a master and without a worker nobody holds the port, and who comes is refused.
    fn kill_master(&mut self, fleet: &mut Fleet) -> &'static str {
        until("a worker serves", || fleet.status().workers.iter().any(|worker| worker.state == "serving"));
        fleet.kill_master();
        thread::sleep(Duration::from_millis(self.random.below(PEACE_MS)));
        let command: Vec<&str> = self.command.iter().map(String::as_str).collect();
        fleet.take_over(&self.args, &command);
        "kill the master"
    }
}

/// Runs a command to its end, which comes, and comes with one of these codes.
#[track_caller]
fn assert_code(command: &mut Command, codes: &[i32]) {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("the llb binary");
    let mut ended = None;
    let in_time = holds_within(DEADLINE, || {
        ended = child.try_wait().expect("a child");
        ended.is_some()
    });
    if !in_time {
        // A failing test leaves nobody behind.
        let _ = child.kill();
        let _ = child.wait();
    }
    let code = ended.and_then(|ended| ended.code());
    assert!(code.is_some_and(|code| codes.contains(&code)), "{command:?}: {ended:?}");
}

fn quietly(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::null()).stderr(Stdio::null())
}
