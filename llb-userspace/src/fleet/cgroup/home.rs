//! Where the cgroups of fleets are, and how they are named.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{error::CgroupError, worker::parts};
use crate::{
    config::Name,
    sys::mounts::{self, MountsError, OwnCgroup},
};

/// A cgroup of this name is the master's own: its fleet is beside it. The kernel keeps limits only below cgroups in which no
/// process is, so for limits llb is started in one.
pub(super) const MASTER: &str = "llb-master";

/// How the names of fleets' cgroups begin.
const FLEETS: &str = "llb.";

/// The last part of a fleet's path.
pub(in crate::fleet) fn directory_name(name: &Name) -> String {
    format!("{FLEETS}{name}")
}

/// The name of the fleet whose cgroup this is, and which has workers. What only begins alike may be a unit of systemd's, such as
/// llb.service, with the fleet below it.
pub(in crate::fleet) fn fleet_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?.strip_prefix(FLEETS)?;
    fs::read_dir(path).ok()?.flatten().any(|entry| parts(&entry.file_name()).is_some()).then(|| name.to_owned())
}

/// Where the fleet `name` of this process has its cgroup.
///
/// # Errors
/// If cgroup v2 is not mounted, or not so that our own cgroup is visible.
pub fn fleet_path(name: &Name) -> Result<PathBuf, CgroupError> {
    Ok(home()?.path.join(directory_name(name)))
}

/// The cgroup that this process makes its fleets in: the one that it is in, or the one above if that is a master's own.
pub(super) fn home() -> Result<OwnCgroup, MountsError> {
    Ok(above_master(mounts::own_cgroup()?))
}

fn above_master(own: OwnCgroup) -> OwnCgroup {
    match own.path.parent() {
        Some(above) if own.path.ends_with(MASTER) => {
            OwnCgroup { path: above.to_owned(), level: own.level.and_then(|level| level.checked_sub(1)) }
        }
        _ => own,
    }
}
