use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process,
};

use super::{LockError, RuntimeDir};
use crate::{config::Name, sys::procfs::comm};

fn name() -> Name {
    "web".parse().unwrap()
}

#[test]
fn a_second_master_learns_who_is_the_first() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().join("llb");
    let first = RuntimeDir::take(&root, &name()).unwrap();
    let mode = fs::metadata(first.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);

    let error = RuntimeDir::take(&root, &name()).unwrap_err();
    let (pid, program) = (process::id(), comm(nix::unistd::Pid::this()).unwrap());
    assert_eq!(
        error.to_string(),
        format!("a fleet web runs already, in pid {pid} ({program}); stop it, or give this one another --name")
    );
    RuntimeDir::take(&root, &"other".parse().unwrap()).unwrap();

    let path = first.path().to_owned();
    fs::write(path.join("control"), "").unwrap();
    drop(first);
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
    RuntimeDir::take(&root, &name()).unwrap();
}

#[test]
fn what_a_crash_leaves_behind_is_taken_over() {
    let root = tempfile::tempdir().unwrap();
    let left = root.path().join("web");
    fs::create_dir(&left).unwrap();
    fs::write(left.join("lock"), "4194304000\n").unwrap();
    fs::write(left.join("cgroup"), "/sys/fs/cgroup/x/llb.web").unwrap();
    fs::write(left.join("secret"), [1; 16]).unwrap();

    let ours = RuntimeDir::take(root.path(), &name()).unwrap();

    assert_eq!(fs::metadata(&left).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::read_to_string(left.join("lock")).unwrap(), format!("{}\n", process::id()));
    assert_eq!(ours.noted_cgroup().as_deref(), Some(Path::new("/sys/fs/cgroup/x/llb.web")));
    ours.note_cgroup(Path::new("/sys/fs/cgroup/y/llb.web")).unwrap();
    assert_eq!(ours.noted_cgroup().as_deref(), Some(Path::new("/sys/fs/cgroup/y/llb.web")));
    assert_eq!(ours.secret([2; 16]).unwrap(), [1; 16], "workers may still know it");
    fs::write(left.join("secret"), "half").unwrap();
    assert_eq!(ours.secret([3; 16]).unwrap(), [3; 16]);
    assert_eq!(ours.secret([4; 16]).unwrap(), [3; 16]);
    ours.note_cgroup(Path::new("/sys/fs/cgroup/y")).unwrap();
    assert_eq!(ours.noted_cgroup(), None);
}

#[test]
fn a_link_to_another_place_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    symlink(elsewhere.path(), root.path().join("web")).unwrap();
    let error = RuntimeDir::take(root.path(), &name()).unwrap_err();
    assert!(matches!(error, LockError::Foreign { .. }), "{error}");
}
