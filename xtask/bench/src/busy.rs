//! How long the machine's cores were at work, whoever for. What a process is charged for leaves out the kernel's work in
//! softirqs, where a connection is made and a selector runs.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// /proc/stat counts in these: USER_HZ is 100 on x86-64.
const TICK: Duration = Duration::from_millis(10);

/// How long the cores have been idle, up to a moment. Busy is what is left of the time: the kernel measures idle time to
/// the ns, but only samples what it did otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Idle {
    at: Instant,
    idle: Duration,
    cores: u32,
}

impl Idle {
    /// `at`: now.
    pub(super) fn read(at: Instant) -> Result<Self> {
        let stat = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
        let (idle, cores) = parse(&stat).context("/proc/stat has no line of all cores")?;
        Ok(Self { at, idle, cores })
    }

    /// The cores' time at work between two moments.
    pub(super) fn busy_since(&self, before: &Self) -> Duration {
        let all = self.at.duration_since(before.at) * self.cores;
        all.saturating_sub(self.idle.saturating_sub(before.idle))
    }
}

/// Idle time of all cores, and how many there are. Idle is also who waits for a disk, and what the host took (steal).
fn parse(stat: &str) -> Option<(Duration, u32)> {
    let all = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u32> = all.split_whitespace().map_while(|field| field.parse().ok()).collect();
    let idle = ticks.get(3)? + ticks.get(4)? + ticks.get(7)?;
    let is_core = |line: &&str| line.strip_prefix("cpu").is_some_and(|rest| !rest.starts_with(' '));
    Some((TICK * idle, stat.lines().filter(is_core).count() as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str =
        "cpu  10 1 20 300 4 0 6 5 0 0\ncpu0 5 1 10 150 2 0 3 2 0 0\ncpu1 5 0 10 150 2 0 3 3 0 0\nintr 7\n";

    #[test]
    fn idle_is_waiting_and_stolen_too() {
        assert_eq!(parse(STAT), Some((Duration::from_millis(3_090), 2)));
        assert_eq!(parse("intr 7\n"), None);
        assert_eq!(parse("cpu  10 1 20\n"), None);
    }

    #[test]
    fn busy_is_what_is_left() {
        let at = llb_kit::clock::now();
        let before = Idle { at, idle: Duration::from_secs(1), cores: 2 };
        let after = Idle { at: at + Duration::from_secs(3), idle: Duration::from_secs(5), cores: 2 };
        assert_eq!(after.busy_since(&before), Duration::from_secs(2));
        assert!(Idle::read(at).unwrap().cores >= 1);
    }
}
