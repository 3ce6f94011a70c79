//! What a fleet has pinned.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nix::mount::{MntFlags, umount2};

/// Where a fleet's own BPF file system is mounted, if the system has mounted none.
fn own_bpffs(name: &str, runtime: &Path) -> PathBuf {
    runtime.join(name).join("bpf")
}

/// The directories in which a fleet has pinned its programs and maps: in the system's BPF file system or in its own.
pub(super) fn pins_of(name: &str, runtime: &Path) -> Vec<PathBuf> {
    let entries = |directory: PathBuf| fs::read_dir(directory).into_iter().flatten().flatten();
    // Each user who runs llb has a directory there.
    let users = entries("/sys/fs/bpf".into()).filter(|user| user.file_name().to_string_lossy().starts_with("llb"));
    let all = users.flat_map(|user| entries(user.path())).chain(entries(own_bpffs(name, runtime)));
    let of_fleet = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(&format!("{name}-"));
    all.filter(of_fleet).map(|entry| entry.path()).collect()
}

/// Removes what is pinned, and what is mounted for that.
pub(super) fn clear_pins(name: &str, runtime: &Path) {
    for directory in pins_of(name, runtime) {
        // Removes the pins too, as they are files.
        let _ = fs::remove_dir_all(directory);
    }
    let _ = umount2(&own_bpffs(name, runtime), MntFlags::MNT_DETACH);
}
