//! Parents and children.

use std::{collections::HashMap, fs, io};

use nix::unistd::Pid;

use super::all_pids;

/// The parent of each process, at one moment.
#[derive(Debug, Default)]
pub struct Families(HashMap<Pid, Vec<Pid>>);

impl Families {
    /// Looks at every process.
    ///
    /// # Errors
    /// If /proc cannot be read.
    pub fn read() -> io::Result<Families> {
        let mut children: HashMap<Pid, Vec<Pid>> = HashMap::new();
        for (pid, parent) in all_pids()?.filter_map(|pid| Some((pid, parent(pid)?))) {
            children.entry(parent).or_default().push(pid);
        }
        Ok(Families(children))
    }

    /// The children of `ancestor`, their children, and so on.
    pub fn descendants(&self, ancestor: Pid) -> Vec<Pid> {
        let (mut found, mut next) = (vec![ancestor], 0);
        while let Some(older) = found.get(next) {
            next += 1;
            let children = self.0.get(older).into_iter().flatten();
            // They are read one after the other: a number may come to be used again meanwhile.
            let unknown: Vec<Pid> = children.filter(|pid| !found.contains(pid)).copied().collect();
            found.extend(unknown);
        }
        found.remove(0);
        found
    }
}

fn parent(pid: Pid) -> Option<Pid> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses can hold any, so the last one counts. After it and the state comes the parent.
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    let field = stat[end + 1..].split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).nth(1);
    Some(Pid::from_raw(str::from_utf8(field?).ok()?.parse().ok()?))
}
