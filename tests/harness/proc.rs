//! What /proc tells of a process: who it is, what it may do, what it has.

use std::{collections::BTreeMap, fs};

use nix::unistd::Pid;

/// The capabilities that the tests name, by their numbers (capability.h).
pub(crate) const CAPABILITIES: [(&str, u32); 11] = [
    ("dac_override", 1),
    ("dac_read_search", 2),
    ("kill", 5),
    ("setgid", 6),
    ("setuid", 7),
    ("net_bind_service", 10),
    ("net_admin", 12),
    ("sys_ptrace", 19),
    ("sys_admin", 21),
    ("perfmon", 38),
    ("bpf", 39),
];

/// The sets of /proc/PID/status that say what a process may do or hand on.
pub(crate) const SETS: [&str; 4] = ["CapInh", "CapPrm", "CapEff", "CapAmb"];

/// A thread's fields in /proc/PID/task/TID/status.
#[derive(Clone, Debug)]
pub(crate) struct ThreadStatus(BTreeMap<String, String>);

impl ThreadStatus {
    /// A field, its words separated by single spaces.
    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> String {
        let value = self.0.get(name).unwrap_or_else(|| panic!("no field {name}: {self:?}"));
        value.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// A field that is a mask.
    #[track_caller]
    pub(crate) fn mask(&self, name: &str) -> u64 {
        u64::from_str_radix(&self.field(name), 16).expect("a mask in hexadecimal")
    }
}

/// The threads of a process. Each has rights of its own.
#[track_caller]
pub(crate) fn threads(pid: Pid) -> Vec<ThreadStatus> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("a process");
    // A thread that has just ended has none.
    let texts = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("status")).ok());
    texts
        .map(|text| {
            let fields = text.lines().filter_map(|line| line.split_once(':'));
            ThreadStatus(fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect())
        })
        .collect()
}

/// The only thread of a process that has one, or the first.
#[track_caller]
pub(crate) fn status(pid: Pid) -> ThreadStatus {
    threads(pid).into_iter().next().expect("a thread")
}

/// A set of [`CAPABILITIES`], as a mask.
pub(crate) fn mask_of(names: &[&str]) -> u64 {
    let number = |name: &&str| CAPABILITIES.iter().find(|(known, _)| known == name).expect("a known capability").1;
    names.iter().map(number).fold(0, |mask, number| mask | 1 << number)
}

/// A variable in the environment that a process was started with.
pub(crate) fn variable(pid: Pid, name: &str) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let environment = String::from_utf8_lossy(&environment).into_owned();
    environment.split('\0').find_map(|pair| Some(pair.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
}

/// What a process has open, by number: the first words of what each is.
pub(crate) fn open_files(pid: Pid) -> BTreeMap<u32, String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("a process");
    let entry = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.ok()?.path();
        let number = path.file_name()?.to_str()?.parse().ok()?;
        let kind = fs::read_link(path).ok()?.display().to_string();
        Some((number, kind.split(':').next().unwrap_or_default().to_owned()))
    };
    entries.filter_map(entry).collect()
}
