//! What a master that has died has left: workers, cgroups, pins.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use crate::{
    config::Name,
    fleet::{CgroupError, RuntimeDir, fleet_path},
    kernel::Pins,
    sys::cgroup_id,
};

/// The name of a fleet's pins. Ids of cgroups are not used twice, so no other fleet has it.
pub(in crate::engine) fn key(name: &Name, cgroup_id: u64) -> String {
    format!("{}-{cgroup_id}", name.as_str().replace('.', "_"))
}

/// Clears what an earlier master of this name has left; `end` ends all that is in a cgroup. Returns how many processes
/// there were.
pub(in crate::engine) fn clear(
    runtime: &RuntimeDir,
    name: &Name,
    end: impl Fn(&Path) -> Result<usize, CgroupError>,
) -> Result<usize, CgroupError> {
    let here = fleet_path(name)?;
    // It may have been started in another cgroup, from another login for instance.
    let elsewhere = runtime.noted_cgroup().filter(|noted| *noted != here);
    let mut ended = 0;
    for cgroup in elsewhere.into_iter().chain([here]) {
        let id = fs::metadata(&cgroup).map(|found| found.ino());
        ended += end(&cgroup)?;
        drop(id.ok().and_then(|id| Pins::find(runtime.path(), &key(name, id))));
    }
    Ok(ended)
}

/// Removes the pins of fleets whose cgroup is gone, as one is that ended with its whole unit or container.
pub(in crate::engine) fn sweep(runtime: &RuntimeDir, cgroup: &Path) {
    Pins::sweep(runtime.path(), |key| {
        let id = key.rsplit_once('-').and_then(|(_, id)| id.parse().ok());
        // One that we may not look for may be there.
        id.is_some_and(|id| matches!(cgroup_id::exists(cgroup, id), Ok(false)))
    });
}
