//! What the master gives up once its programs are attached.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use nix::unistd::geteuid;

use crate::{
    config::{Concurrency, Config, Identity},
    kernel::Pins,
    sys::capabilities::{self, Capabilities, Capability},
};

/// For workers that are, or become, another user: to look into them, to list what they have open, to end them.
const FOR_OTHERS: [Capability; 3] = [Capability::SysPtrace, Capability::DacReadSearch, Capability::Kill];

/// To start workers as another user.
const FOR_USER: [Capability; 2] = [Capability::Setuid, Capability::Setgid];

/// The owner's right to write, in a file's mode.
const OWNER_WRITES: u32 = 0o200;

/// Gives up the rights that nothing needs any more. To load and to attach programs takes the most, and is done: a
/// listener is put into its group, and a cost into its map, by whoever holds their descriptors.
///
/// Not for a process that runs another fleet afterwards.
pub(in crate::engine) fn shed(config: &Config, cgroup: &Path, pins: Option<&Pins>) {
    let Ok(held) = capabilities::own() else { return };
    let identity = config.identity.as_ref();
    if !held.has(Capability::SysPtrace) && workers_hold_rights(identity) {
        // Into a process that holds more we may not look without that right, so we hold on to what root's workers get.
        tracing::info!("llb keeps all its capabilities, as it has no CAP_SYS_PTRACE");
        return;
    }
    let closed = [cgroup.parent(), Some(config.runtime_dir.as_path())].into_iter().flatten().any(is_closed);
    let kept: Capabilities = FOR_OTHERS
        .into_iter()
        // To listen where they do.
        .chain(
            (config.concurrency_by_load() != Concurrency::Off || !config.queue_timeout.is_zero())
                .then_some(Capability::NetBindService),
        )
        .chain(FOR_USER.into_iter().filter(|_| identity.is_some()))
        .chain(closed.then_some(Capability::DacOverride))
        // What was mounted for the pins is to be unmounted at the end.
        .chain(pins.is_some_and(Pins::are_mounted).then_some(Capability::SysAdmin))
        // It can do what this one can, and a fleet may have been given the one and not the other.
        .chain((!held.has(Capability::DacReadSearch)).then_some(Capability::DacOverride))
        .collect();
    if let Err(error) = capabilities::keep(kept) {
        tracing::warn!(%error, "llb keeps capabilities that it does not need");
    }
}

/// Whether workers have rights beyond their user's: those of root do.
fn workers_hold_rights(identity: Option<&Identity>) -> bool {
    identity.map_or_else(geteuid, |identity| identity.uid).is_root()
}

/// Whether only the right to write everywhere lets us write there: in a cgroup that was delegated to a user, for one, or
/// in the root of all cgroups, which is nobody's to write to.
fn is_closed(path: &Path) -> bool {
    let open = |found: &fs::Metadata| found.uid() == geteuid().as_raw() && found.mode() & OWNER_WRITES != 0;
    fs::metadata(path).is_ok_and(|found| !open(&found))
}
