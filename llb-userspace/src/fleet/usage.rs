//! How much CPU time a worker has taken.

use std::{fs, path::Path};

/// The CPU time of all processes that the worker whose cgroup is `cgroup` has had, µs. The kernel counts it with and without
/// the CPU controller. None if the worker has ended.
#[must_use]
pub fn cpu_us(cgroup: &Path) -> Option<u64> {
    of_stat(&fs::read_to_string(cgroup.join("cpu.stat")).ok()?)
}

fn of_stat(stat: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix("usage_usec "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{cpu_us, of_stat};
    use crate::sys::mounts::own_cgroup;

    #[test]
    fn cpu_time_is_read_of_any_cgroup() {
        assert_eq!(of_stat("usage_usec 36897\nuser_usec 25642\nsystem_usec 11255\n"), Some(36_897));
        assert_eq!(of_stat("user_usec 1\n"), None);
        let own = own_cgroup().unwrap().path;
        assert!(cpu_us(&own).unwrap() > 0);
        assert_eq!(cpu_us(&own.join("nosuch")), None);
    }
}
