//! The directories of pins.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use nix::unistd::geteuid;

use crate::sys::bpffs;

/// Where the system mounts its BPF file system.
pub(super) const SHARED: &str = "/sys/fs/bpf";

/// Where the runtime directory's own is mounted.
pub(super) const OWN_MOUNT: &str = "bpf";

/// A process that may open a pin may change where connections go.
const PRIVATE: u32 = 0o700;

/// How often llb's directory may vanish under our hands, as it does when the last fleet in it ends.
const ATTEMPTS: u32 = 10;

/// Where fleets have their pins, and what was mounted for that.
pub(super) fn places(runtime_dir: &Path) -> [(PathBuf, Option<PathBuf>); 2] {
    let own = runtime_dir.join(OWN_MOUNT);
    [(llbs_own(), None), (own.clone(), Some(own))]
}

/// llb's directory in the system's file system: each user who runs llb has another one.
fn llbs_own() -> PathBuf {
    let user = geteuid();
    Path::new(SHARED).join(if user.is_root() { "llb".to_owned() } else { format!("llb-{user}") })
}

/// A directory in the system's own BPF file system; or what is wrong with that.
pub(super) fn make_shared(key: &str) -> Result<PathBuf, &'static str> {
    let shared = Path::new(SHARED);
    if !bpffs::is_bpffs(shared) {
        return Err("no BPF file system");
    }
    let llb = llbs_own();
    for _ in 0..ATTEMPTS {
        match make_private(&llb) {
            Ok(()) if is_ours(&llb) => {}
            // It has just been removed.
            Ok(()) if !llb.exists() => continue,
            Ok(()) => return Err("not llb's alone"),
            Err(_) => break,
        }
        match make_private(&llb.join(key)) {
            Ok(()) => return Ok(llb.join(key)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => break,
        }
    }
    Err("not to be written to")
}

pub(super) fn make_own(at: &Path, key: &str) -> io::Result<PathBuf> {
    make_private(at)?;
    if !bpffs::is_bpffs(at) {
        bpffs::mount(at)?;
    }
    let directory = at.join(key);
    make_private(&directory)?;
    Ok(directory)
}

fn make_private(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(PRIVATE).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Whether it is a directory of a BPF file system, which nobody else may change.
pub(super) fn is_ours(path: &Path) -> bool {
    let private =
        |found: &fs::Metadata| found.is_dir() && found.uid() == geteuid().as_raw() && found.mode() & 0o777 == PRIVATE;
    fs::symlink_metadata(path).is_ok_and(|found| private(&found)) && bpffs::is_bpffs(path)
}
