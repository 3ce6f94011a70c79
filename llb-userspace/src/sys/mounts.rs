//! Where the cgroup v2 hierarchy is mounted, and where in it this process lives.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::{ffi::OsStringExt, fs::MetadataExt},
    path::{Component, Path, PathBuf},
};

use nix::unistd::Pid;

/// Inode number of the first cgroup namespace (`PROC_CGROUP_INIT_INO` in the kernel's proc_ns.h): only there does
/// /proc show paths from the very root of the hierarchy.
const FIRST_NAMESPACE: u64 = 0xEFFF_FFFB;

/// Why this process's place in the cgroup v2 hierarchy is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MountsError {
    /// A file of /proc cannot be read.
    #[error("cannot read {path}; llb needs /proc")]
    Read {
        /// The file.
        path: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The hierarchy is not mounted where we can see it.
    #[error(
        "cgroup v2 is mounted nowhere in /proc/self/mountinfo; mount it: \
         mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 none /sys/fs/cgroup/unified"
    )]
    NotMounted,
    /// /proc/self/cgroup has no line of version 2.
    #[error(
        "/proc/self/cgroup names no cgroup of version 2 (a line `0::`); is the kernel built without CONFIG_CGROUPS?"
    )]
    NoCgroup,
    /// The cgroup is not below any mount point.
    #[error(
        "this process's cgroup {own} is not below {mount}, which shows the hierarchy from {root} on; \
         start llb inside of its own cgroup namespace, or mount cgroup v2 from the root"
    )]
    OutOfSight {
        /// The cgroup, as /proc/self/cgroup has it.
        own: PathBuf,
        /// The mount point.
        mount: PathBuf,
        /// The cgroup that is mounted there.
        root: PathBuf,
    },
}

/// This process's cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCgroup {
    /// Its directory.
    pub path: PathBuf,
    /// How many cgroups are above it; `None` in a cgroup namespace, which hides some of them.
    pub level: Option<u32>,
}

/// Finds this process's cgroup of version 2.
///
/// # Errors
/// If version 2 is not mounted, or not so that our own cgroup is visible.
pub fn own_cgroup() -> Result<OwnCgroup, MountsError> {
    let mount = cgroup2_mount(&read("/proc/self/mountinfo")?).ok_or(MountsError::NotMounted)?;
    let own = own_path(&read("/proc/self/cgroup")?).ok_or(MountsError::NoCgroup)?;
    let path = locate(&mount, &own)?;
    let namespace = "/proc/self/ns/cgroup";
    let namespace = fs::metadata(namespace).map_err(|source| MountsError::Read { path: namespace, source })?.ino();
    let level = (namespace == FIRST_NAMESPACE).then(|| depth(&own));
    Ok(OwnCgroup { path, level })
}

/// Where cgroup v2 is mounted.
///
/// # Errors
/// If it is not.
pub fn cgroup_root() -> Result<PathBuf, MountsError> {
    let mount = cgroup2_mount(&read("/proc/self/mountinfo")?).ok_or(MountsError::NotMounted)?;
    Ok(mount.point)
}

/// The cgroup of version 2 that a process is in, as /proc has it.
///
/// # Errors
/// `ENOENT` if the process has ended.
pub fn cgroup_of(pid: Pid) -> io::Result<PathBuf> {
    own_path(&fs::read(format!("/proc/{pid}/cgroup"))?).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The name that /proc has for the cgroup whose directory is `path`.
///
/// # Errors
/// If cgroup v2 is not mounted above it.
pub fn cgroup_name(path: &Path) -> Result<PathBuf, MountsError> {
    let mount = cgroup2_mount(&read("/proc/self/mountinfo")?).ok_or(MountsError::NotMounted)?;
    let below = path.strip_prefix(&mount.point).map_err(|_| MountsError::NotMounted)?;
    Ok(mount.root.join(below))
}

/// A cgroup v2 mount: its mount point, and the cgroup that is visible there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    point: PathBuf,
    root: PathBuf,
}

/// The first cgroup v2 mount in the text of /proc/self/mountinfo that no other mount hides. Unlike /proc/self/mounts it
/// tells which part of the hierarchy is mounted: in a container often not all of it.
fn cgroup2_mount(mountinfo: &[u8]) -> Option<Mount> {
    let lines: Vec<Line> = mountinfo.split(|&byte| byte == b'\n').filter_map(Line::parse).collect();
    let line = lines.iter().find(|line| line.is_cgroup2 && !line.is_hidden(&lines))?;
    Some(Mount { point: line.point.clone(), root: line.root.clone() })
}

/// A line of /proc/self/mountinfo (proc_pid_mountinfo(5)).
#[derive(Debug, PartialEq, Eq)]
struct Line {
    id: u32,
    parent: u32,
    root: PathBuf,
    point: PathBuf,
    is_cgroup2: bool,
}

impl Line {
    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|&byte| byte == b' ');
        let mut number = || str::from_utf8(fields.next()?).ok()?.parse().ok();
        let (id, parent) = (number()?, number()?);
        let (root, point) = (unescape(fields.nth(1)?), unescape(fields.next()?));
        // A varying number of optional fields ends with a dash; the type is next.
        fields.find(|field| *field == b"-")?;
        let is_cgroup2 = fields.next()? == b"cgroup2";
        Some(Self { id, parent, root, point, is_cgroup2 })
    }

    /// Whether another one lies right on it, or beside it.
    fn is_hidden(&self, lines: &[Self]) -> bool {
        lines.iter().any(|line| line.parent == self.id && line.point == self.point) || self.is_beside_another(lines)
    }

    /// Whether another one lies over it on the same mount, or so over one that it lies on.
    fn is_beside_another(&self, lines: &[Self]) -> bool {
        // The root of all, in an initramfs, is its own parent: it lies below.
        let is_beside = |other: &Self| other.parent == self.parent && ![self.id, self.parent].contains(&other.id);
        let covers = |other: &Self| is_beside(other) && self.point.starts_with(&other.point);
        // A mount mostly has a higher number than the one it lies on. Where a number has been used again that one counts as
        // seen, so that this ends.
        let below = lines.iter().find(|line| line.id == self.parent && line.id < self.id);
        lines.iter().any(covers) || below.is_some_and(|line| line.is_beside_another(lines))
    }
}

/// The path in the `0::` line of /proc/self/cgroup.
fn own_path(cgroup: &[u8]) -> Option<PathBuf> {
    let path = cgroup.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"0::"))?;
    Some(OsString::from_vec(path.to_vec()).into())
}

/// Where a cgroup is to be found below a mount.
fn locate(mount: &Mount, own: &Path) -> Result<PathBuf, MountsError> {
    match own.strip_prefix(&mount.root) {
        Ok(below) if !below.components().any(|part| part == Component::ParentDir) => Ok(mount.point.join(below)),
        _ => Err(MountsError::OutOfSight { own: own.to_owned(), mount: mount.point.clone(), root: mount.root.clone() }),
    }
}

fn depth(path: &Path) -> u32 {
    let named = path.components().filter(|part| matches!(part, Component::Normal(_))).count();
    u32::try_from(named).unwrap_or(u32::MAX)
}

/// Undoes the kernel's `\040` for a space, and the like.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        let (byte, tail) = match tail {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] if *first == b'\\' => {
                (((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'), after)
            }
            _ => (*first, tail),
        };
        bytes.push(byte);
        rest = tail;
    }
    OsString::from_vec(bytes).into()
}

fn read(path: &'static str) -> Result<Vec<u8>, MountsError> {
    fs::read(path).map_err(|source| MountsError::Read { path, source })
}

#[cfg(test)]
mod tests;
