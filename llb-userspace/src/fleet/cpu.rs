//! How much processor time a worker has taken.

use std::{fs, path::Path};

/// What the processes of the worker whose cgroup is `cgroup` have taken, those that have ended too, seconds. The kernel counts
/// it also where the cgroup has no controller. None if the worker has ended.
#[must_use]
pub fn used(cgroup: &Path) -> Option<f64> {
    of_stat(&fs::read_to_string(cgroup.join("cpu.stat")).ok()?)
}

fn of_stat(stat: &str) -> Option<f64> {
    let usec = stat.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
    Some(usec.trim().parse::<u64>().ok()? as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{of_stat, used};

    #[test]
    fn the_whole_time_is_read_in_seconds() {
        assert_eq!(of_stat("usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n"), Some(1.5));
        assert_eq!(of_stat("user_usec 1\n"), None);
        assert_eq!(used(Path::new("/no/such/cgroup")), None);
    }
}
