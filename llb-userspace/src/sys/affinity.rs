//! Which CPUs a process may run on.

use std::{fs, io};

use nix::{
    sched::{CpuSet, sched_getaffinity},
    unistd::Pid,
};

/// Those that this process may run on, in the order in which they are best filled: one of each core, then the cores' second
/// hardware threads, and so on.
///
/// # Errors
/// If the kernel does not say which they are.
pub fn ours() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0))?;
    let cpus: Vec<usize> = (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu) == Ok(true)).collect();
    Ok(spread(&cpus, siblings))
}

/// Numbers and ranges with commas between them, as people and the kernel write them; `None` if it is no such list, or names a
/// CPU that no kernel has.
#[must_use]
pub fn list(text: &str) -> Option<Vec<usize>> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse::<usize>().ok()?, last.parse().ok()?);
        // A number that no kernel has must not become a list as long.
        (first <= last && last < CpuSet::count()).then_some(first..=last)
    };
    let ranges: Option<Vec<_>> = text.split(',').map(range).collect();
    Some(ranges?.into_iter().flatten().collect())
}

/// The hardware threads of a CPU's core. Where the kernel does not say, each is a core.
fn siblings(cpu: usize) -> Vec<usize> {
    let text = fs::read_to_string(format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"));
    text.ok().and_then(|text| list(text.trim())).unwrap_or_else(|| vec![cpu])
}

fn spread(cpus: &[usize], siblings: impl Fn(usize) -> Vec<usize>) -> Vec<usize> {
    // How many of its core come before it.
    let rank = |cpu: usize| siblings(cpu).into_iter().filter(|&other| other < cpu && cpus.contains(&other)).count();
    let mut spread = cpus.to_vec();
    spread.sort_by_cached_key(|&cpu| (rank(cpu), cpu));
    spread
}

#[cfg(test)]
mod tests {
    use super::{list, spread};

    #[test]
    fn each_core_has_one_before_any_has_two() {
        // Neighbours share a core, as in virtual machines; or they lie half of all apart, as on most machines.
        let neighbours = |cpu: usize| vec![cpu & !1, cpu | 1];
        assert_eq!(spread(&[0, 1, 2, 3], neighbours), [0, 2, 1, 3]);
        assert_eq!(spread(&[0, 1, 2, 3], |cpu| vec![cpu % 2, cpu % 2 + 2]), [0, 1, 2, 3]);
        // The first thread of a core may be another's.
        assert_eq!(spread(&[1, 2, 3], neighbours), [1, 2, 3]);
        assert!(spread(&[], neighbours).is_empty());
    }

    #[test]
    fn cpus_are_read_as_numbers_and_ranges() {
        assert_eq!(list("0-2,8"), Some(vec![0, 1, 2, 8]));
        assert_eq!(list("1"), Some(vec![1]));
        for wrong in ["", "all", "3-1", "1,", "-1", "0-99999999"] {
            assert_eq!(list(wrong), None, "{wrong}");
        }
    }
}
