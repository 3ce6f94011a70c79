use std::{
    fs::File,
    io,
    os::{fd::AsFd, unix::net::UnixStream},
    process::Command,
};

use nix::errno::Errno;

use super::{ChildError, Inheritance, Scheduling, Step, failed, spawn, understand};

#[test]
fn steps_travel_in_error_numbers() {
    for step in Step::ALL {
        let error = understand(failed(step, Errno::EBUSY));
        assert!(matches!(error, ChildError::Prepare { step: s, source }
            if s == step && source.raw_os_error() == Some(Errno::EBUSY as i32)));
    }
    let exec = understand(io::Error::from_raw_os_error(Errno::ENOENT as i32));
    assert!(matches!(exec, ChildError::Start(error) if error.kind() == io::ErrorKind::NotFound));
}

#[test]
fn a_refused_cgroup_is_named() {
    let empty = tempfile::tempdir().unwrap();
    let no_cgroup = File::open(empty.path()).unwrap();
    let (channel, _ours) = UnixStream::pair().unwrap();
    let inheritance = Inheritance {
        cgroup: no_cgroup.as_fd(),
        channel: channel.as_fd(),
        output: None,
        credentials: None,
        scheduling: Scheduling::default(),
    };

    let (pid, _, mut outcome) = spawn(&Command::new("true"), &inheritance).unwrap();
    let error = outcome.wait(pid).unwrap_err();

    assert!(matches!(&error, ChildError::Prepare { step: Step::Cgroup, .. }), "{error:?}");
    assert_eq!(error.to_string(), "the child cannot enter its cgroup");
}
