//! How much memory a worker takes.

use std::{fs, path::Path};

use super::cgroup;
use crate::sys::procfs;

/// What the worker whose cgroup is `cgroup` has resident, bytes. Where the cgroup has the memory controller, by that, which
/// counts a page that several processes share once; otherwise the sum of what its processes have. None if it has ended.
#[must_use]
pub fn resident(cgroup: &Path) -> Option<u64> {
    if let Ok(stat) = fs::read_to_string(cgroup.join("memory.stat")) {
        return of_stat(&stat);
    }
    // One that has ended meanwhile has none.
    let resident = cgroup::processes(cgroup).ok()?.into_iter().filter_map(|pid| procfs::resident(pid).ok());
    Some(resident.sum()).filter(|bytes| *bytes > 0)
}

/// Files that were only read do not count: the kernel takes that memory back when it needs it.
fn of_stat(stat: &str) -> Option<u64> {
    let count = |name| {
        let mut lines = stat.lines().filter_map(|line| line.split_once(' '));
        lines.find(|(found, _)| *found == name).and_then(|(_, count)| count.trim().parse::<u64>().ok())
    };
    Some(count("anon")?.saturating_add(count("file_mapped")?))
}

#[cfg(test)]
mod tests {
    use super::{of_stat, resident};
    use crate::sys::mounts::own_cgroup;

    #[test]
    fn the_controller_counts_what_is_mapped_and_no_cache() {
        let stat = "anon 5242880\nfile 99999744\nkernel 1048576\nfile_mapped 1048576\nfile_dirty 0\nanon_thp 7\n";
        assert_eq!(of_stat(stat), Some(6 << 20));
        assert_eq!(of_stat("file 1\n"), None);
    }

    #[test]
    fn without_the_controller_the_processes_are_summed_up() {
        let (_ballast, cgroup) = (vec![1_u8; 32 << 20], own_cgroup().unwrap().path);
        assert!(resident(&cgroup).unwrap() > 32 << 20);
        assert_eq!(resident(&cgroup.join("nosuch")), None);
    }
}
