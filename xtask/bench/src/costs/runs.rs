//! What the kernel has counted of a program's runs.

/// A program's runs while the statistics were on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Runs {
    pub(super) time_ns: u64,
    pub(super) count: u64,
}

/// A program as the descriptor that holds it shows it in `/proc/PID/fdinfo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) id: u32,
    pub(super) runs: Runs,
}

impl Shown {
    /// `None` if this is no program's.
    pub(super) fn read(fdinfo: &str) -> Option<Self> {
        let field = |name| fdinfo.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        let id = u32::try_from(field("prog_id:")?).ok()?;
        Some(Self { id, runs: Runs { time_ns: field("run_time_ns:")?, count: field("run_cnt:")? } })
    }
}

impl Runs {
    pub(super) fn since(self, before: Self) -> Self {
        Self { time_ns: self.time_ns.saturating_sub(before.time_ns), count: self.count.saturating_sub(before.count) }
    }

    /// Time a run; `None` if there was none.
    pub(super) fn mean_ns(self) -> Option<f64> {
        (self.count > 0).then(|| self.time_ns as f64 / self.count as f64)
    }
}

/// What a run costs when nobody counts: `empty_ns` is what the statistics say of a program that does nothing.
pub(super) fn net_ns(mean_ns: f64, empty_ns: f64) -> f64 {
    (mean_ns - empty_ns).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_programs_descriptor_shows_its_runs_and_others_show_none() {
        let program = "pos:\t0\nflags:\t02000000\nprog_type:\t21\nprog_jited:\t1\nprog_tag:\tf0\nmemlock:\t4096\n\
                       prog_id:\t57\nrun_time_ns:\t2500\nrun_cnt:\t10\nrecursion_misses:\t0\n";
        assert_eq!(Shown::read(program), Some(Shown { id: 57, runs: Runs { time_ns: 2500, count: 10 } }));
        assert_eq!(Shown::read("pos:\t0\nmap_type:\t2\nmap_id:\t7\n"), None);
    }

    #[test]
    fn a_mean_is_of_the_runs_in_between() {
        let (before, after) = (Runs { time_ns: 2_500, count: 10 }, Runs { time_ns: 3_500, count: 20 });
        assert_eq!(after.since(before).mean_ns(), Some(100.0));
        assert_eq!(before.since(before).mean_ns(), None);
    }

    #[test]
    fn the_statistics_own_time_is_taken_off_and_nothing_costs_less_than_nothing() {
        assert_eq!(net_ns(100.0, 30.0), 70.0);
        assert_eq!(net_ns(20.0, 30.0), 0.0);
    }
}
