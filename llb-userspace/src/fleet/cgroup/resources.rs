//! What a worker may take of the machine, by the controllers of its cgroup.

use std::{fs, path::Path};

use super::{CgroupError, home::MASTER};
use crate::config::Resources;

/// The period over which the kernel counts CPU time, µs: its own default.
const PERIOD_US: u64 = 100_000;

/// A limit, as the kernel takes it.
struct Limit {
    option: &'static str,
    controller: &'static str,
    file: &'static str,
    value: String,
}

impl Resources {
    /// Sets the limits of the cgroup at `worker`, in that of its fleet. Its controllers are passed on to it from the top down,
    /// as a cgroup has those that its parent passes on.
    pub(super) fn set(self, fleet: &Path, worker: &Path) -> Result<(), CgroupError> {
        for limit in self.limits() {
            for cgroup in fleet.parent().into_iter().chain([fleet]) {
                limit.pass_on(cgroup)?;
            }
            let path = worker.join(limit.file);
            fs::write(&path, &limit.value).map_err(|source| CgroupError::Io { action: "write to", path, source })?;
        }
        Ok(())
    }

    fn limits(self) -> impl Iterator<Item = Limit> {
        let memory = self.memory_max.map(|bytes| Limit {
            option: "--memory-max",
            controller: "memory",
            file: "memory.max",
            value: bytes.to_string(),
        });
        let cpu = self.cpu_max.map(|thousandths| Limit {
            option: "--cpu-max",
            controller: "cpu",
            file: "cpu.max",
            value: format!("{} {PERIOD_US}", u64::from(thousandths) * PERIOD_US / 1_000),
        });
        memory.into_iter().chain(cpu)
    }
}

impl Limit {
    /// Has the cgroups in `cgroup` get the controller.
    fn pass_on(&self, cgroup: &Path) -> Result<(), CgroupError> {
        let failed = |file| move |source| CgroupError::Io { action: "use", path: cgroup.join(file), source };
        let names = |file| -> Result<bool, CgroupError> {
            let text = fs::read_to_string(cgroup.join(file)).map_err(failed(file))?;
            Ok(text.split_whitespace().any(|name| name == self.controller))
        };
        let Self { option, controller, .. } = *self;
        let passed = "cgroup.subtree_control";
        if names(passed)? {
            return Ok(());
        }
        if !names("cgroup.controllers")? {
            return Err(CgroupError::NoController { option, controller, path: cgroup.to_owned() });
        }
        // "No internal processes" (Documentation/admin-guide/cgroup-v2.rst); of some controllers the kernel does not refuse them,
        // but then the cgroups below take none. The root alone, which has no type, may have both.
        let is_root = !cgroup.join("cgroup.type").exists();
        let processes = fs::read_to_string(cgroup.join("cgroup.procs")).map_err(failed("cgroup.procs"))?;
        if !is_root && !processes.is_empty() {
            return Err(CgroupError::Occupied { option, master: MASTER, path: cgroup.to_owned() });
        }
        fs::write(cgroup.join(passed), format!("+{controller}")).map_err(failed(passed))
    }
}

/// Whether the kernel has killed a process of the worker at `cgroup` for want of memory, be it the worker's own limit or one
/// above it. Nothing without the memory controller, or if the cgroup is gone.
pub(crate) fn ran_out_of_memory(cgroup: &Path) -> bool {
    fs::read_to_string(cgroup.join("memory.events")).is_ok_and(|events| killed(&events) > 0)
}

fn killed(events: &str) -> u64 {
    let mut lines = events.lines();
    lines.find_map(|line| line.strip_prefix("oom_kill ")).and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that looks like a cgroup.
    fn cgroup(path: &Path, controllers: &str, passed: &str) {
        fs::create_dir_all(path).unwrap();
        fs::write(path.join("cgroup.controllers"), controllers).unwrap();
        fs::write(path.join("cgroup.subtree_control"), passed).unwrap();
        fs::write(path.join("cgroup.type"), "domain\n").unwrap();
        fs::write(path.join("cgroup.procs"), "").unwrap();
    }

    #[test]
    fn limits_are_written_as_the_kernel_reads_them() {
        let home = tempfile::tempdir().unwrap();
        let (fleet, worker) = (home.path().join("llb.x"), home.path().join("llb.x/w0.g0.0"));
        cgroup(home.path(), "cpuset cpu io memory pids\n", "memory pids\n");
        cgroup(&fleet, "cpu memory pids\n", "\n");
        fs::create_dir(&worker).unwrap();
        Resources { memory_max: Some(512 << 20), cpu_max: Some(1_500) }.set(&fleet, &worker).unwrap();
        let read = |path: &Path, file: &str| fs::read_to_string(path.join(file)).unwrap();
        assert_eq!(read(&worker, "memory.max"), "536870912");
        assert_eq!(read(&worker, "cpu.max"), "150000 100000");
        // What is passed on already is left alone.
        assert_eq!(read(home.path(), "cgroup.subtree_control"), "+cpu");
        assert_eq!(read(&fleet, "cgroup.subtree_control"), "+cpu");
    }

    #[test]
    fn no_limit_asks_for_no_controller() {
        let home = tempfile::tempdir().unwrap();
        Resources::default().set(&home.path().join("fleet"), &home.path().join("fleet/worker")).unwrap();
    }

    #[test]
    fn a_missing_controller_is_named_with_the_way_out() {
        let home = tempfile::tempdir().unwrap();
        let fleet = home.path().join("llb.x");
        cgroup(home.path(), "pids cpuset\n", "\n");
        let limits = Resources { memory_max: None, cpu_max: Some(10) };
        let error = limits.set(&fleet, &fleet.join("w0.g0.0")).unwrap_err().to_string();
        assert!(error.contains("--cpu-max") && error.contains(home.path().to_str().unwrap()), "{error}");
    }

    #[test]
    fn processes_where_only_cgroups_may_be_are_no_place_for_limits() {
        let home = tempfile::tempdir().unwrap();
        let fleet = home.path().join("llb.x");
        cgroup(home.path(), "cpu memory\n", "\n");
        fs::write(home.path().join("cgroup.procs"), "1\n").unwrap();
        let limits = Resources { memory_max: Some(1), cpu_max: None };
        let error = limits.set(&fleet, &fleet.join("w0.g0.0")).unwrap_err();
        assert!(matches!(error, CgroupError::Occupied { .. }), "{error}");
        assert_eq!(fs::read_to_string(home.path().join("cgroup.subtree_control")).unwrap(), "\n");
    }

    #[test]
    fn what_the_kernel_killed_is_counted() {
        assert_eq!(killed("low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\noom_group_kill 0\n"), 1);
        assert_eq!(killed("low 0\n"), 0);
    }
}
