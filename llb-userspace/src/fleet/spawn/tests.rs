use std::{
    ffi::{OsStr, OsString},
    fs,
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{self, ExitStatus},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
};

use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::signal::SigSet,
    unistd::{Pid, getpgid, getsid},
};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use super::{Order, Output, SpawnError, Spawned, spawn};
use crate::{
    config::{Identity, Name, Resources},
    fleet::cgroup::{FleetCgroup, WorkerCgroup},
    model::{Generation, Slot},
    sys::{
        child::{Scheduling, try_wait},
        testing::{forbid_clone3, until},
    },
};

/// A worker's cgroup, cleared away when the test ends, however it ends.
struct Scene {
    cgroup: WorkerCgroup,
    /// Dropped last, and with it whatever runs in it.
    _fleet: FleetCgroup,
}

impl Scene {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name: Name = format!("spawn-{}-{}", process::id(), COUNT.fetch_add(1, Relaxed)).parse().unwrap();
        let mut fleet = FleetCgroup::create(&name).unwrap();
        let cgroup = fleet.worker(Slot(7), Generation(2), Resources::default()).unwrap();
        Self { cgroup, _fleet: fleet }
    }

    fn try_spawn(&self, program: &OsStr, args: &[&str], directory: Option<&Path>) -> Result<Spawned, SpawnError> {
        self.try_spawn_as(None, program, args, directory)
    }

    fn try_spawn_as(
        &self,
        identity: Option<&Identity>,
        program: &OsStr,
        args: &[&str],
        directory: Option<&Path>,
    ) -> Result<Spawned, SpawnError> {
        let args: Vec<OsString> = args.iter().map(Into::into).collect();
        let output = Output::Captured;
        let (slot, generation) = (Slot(7), Generation(2));
        let order = Order {
            program,
            args: &args,
            directory,
            slot,
            number: 5,
            generation,
            identity,
            notify: None,
            scheduling: Scheduling::default(),
            output,
        };
        spawn(&order, &self.cgroup)
    }

    fn refusal(&self, program: impl AsRef<OsStr>, directory: Option<&Path>) -> SpawnError {
        self.try_spawn(program.as_ref(), &[], directory).expect_err("it must not start")
    }

    /// A worker that does nothing.
    fn sleeper(&self) -> (Pid, Spawned) {
        let spawned = self.try_spawn(OsStr::new("sleep"), &["600"], None).unwrap();
        (spawned.pid, spawned)
    }

    /// What a shell script says and how it exits.
    fn says(&self, script: &str) -> String {
        let mut spawned = self.try_spawn(OsStr::new("sh"), &["-c", script], None).unwrap();
        let mut pipes = spawned.output.take().unwrap();
        let mut text = String::new();
        pipes.stdout.read_to_string(&mut text).unwrap();
        pipes.stderr.read_to_string(&mut text).unwrap();
        assert!(ended(&spawned).success(), "{text}");
        text
    }
}

/// Waits for the worker's end.
fn ended(spawned: &Spawned) -> ExitStatus {
    let mut status = None;
    until("it has ended", || {
        status = try_wait(spawned.pid).unwrap();
        status.is_some()
    });
    status.unwrap()
}

#[test]
fn the_worker_knows_who_it_is_and_where_to_report() {
    let scene = Scene::new();
    let said = scene.says(
        "echo $WORKER_ID $NODE_WORKER_ID $LLB_SLOT $LLB_WORKER $LLB_GENERATION $LLB_FD; echo $NODE_CHANNEL_FD; \
         echo $NODE_CHANNEL_SERIALIZATION_MODE",
    );
    assert_eq!(said, "7 7 7 5 2 3\n\n\n");
    let said = scene.says("node() { echo $NODE_CHANNEL_FD $NODE_CHANNEL_SERIALIZATION_MODE; }; node");
    assert_eq!(said, "3 json\n");
}

#[test]
fn only_the_standard_descriptors_and_the_channel_are_inherited() {
    let scene = Scene::new();
    // Without close-on-exec, as a careless library opens its files.
    let careless = fs::File::open("/dev/null").unwrap();
    fcntl(&careless, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();

    let (pid, _spawned) = scene.sleeper();

    let kinds = || -> Vec<String> {
        let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let shown =
            paths.filter_map(|path| Some(format!("{} {}", path.display(), fs::read_link(&path).ok()?.display())));
        shown.map(|line| line.rsplit_once("fd/").unwrap().1.split(':').next().unwrap().to_owned()).collect()
    };
    // At first the loader has the program's libraries open.
    until("nothing else is open", || kinds() == ["0 /dev/null", "1 pipe", "2 pipe", "3 socket"]);
}

#[test]
fn it_leads_a_group_in_its_cgroup_and_no_signal_is_blocked_or_ignored() {
    let scene = Scene::new();
    let (pid, _spawned) = scene.sleeper();

    assert_eq!((getsid(Some(pid)).unwrap(), getpgid(Some(pid)).unwrap()), (getsid(None).unwrap(), pid));
    assert_eq!(scene.cgroup.processes().unwrap(), [pid]);
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mask = |field: &str| {
        let hex = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        u64::from_str_radix(hex.trim(), 16).unwrap()
    };
    assert_eq!(mask("SigBlk:"), 0);
    // Signals 32 and 33 are libc's own, for its threads: it does not let us touch them.
    assert_eq!(mask("SigIgn:") & !(0b11 << 31), 0);
}

#[test]
fn the_worker_is_born_in_its_cgroup() {
    let scene = Scene::new();
    let spawned = thread::scope(|scope| {
        // In the mount namespace of that thread nobody can enter a cgroup, as nothing can be written to the file.
        let spawn = || {
            unshare(CloneFlags::CLONE_NEWNS).unwrap();
            let none = None::<&str>;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
            let procs = scene.cgroup.path().join("cgroup.procs");
            mount(Some("/dev/full"), &procs, none, MsFlags::MS_BIND, none).unwrap();
            scene.sleeper()
        };
        scope.spawn(spawn).join().unwrap()
    });
    assert_eq!(scene.cgroup.processes().unwrap(), [spawned.0]);
}

#[test]
fn the_worker_enters_its_cgroup_where_clone3_is_forbidden() {
    let scene = Scene::new();
    let spawned = thread::scope(|scope| {
        let spawn = || {
            forbid_clone3();
            scene.sleeper()
        };
        scope.spawn(spawn).join().unwrap()
    });
    assert_eq!(scene.cgroup.processes().unwrap(), [spawned.0]);
}

#[test]
fn another_user_inherits_no_capability_of_ours() {
    let scene = Scene::new();
    let nobody = Identity::find(Some("65534"), Some("65534")).unwrap();
    // A thread of its own, as it keeps what it has been given here. Inheritable ones survive the change of the user.
    let spawned = thread::scope(|scope| {
        let spawn = || {
            let mut sets = capabilities(None).unwrap();
            sets.inheritable |= CapabilitySet::KILL;
            set_capabilities(None, sets).unwrap();
            scene.try_spawn_as(nobody.as_ref(), OsStr::new("sleep"), &["600"], None).unwrap()
        };
        scope.spawn(spawn).join().unwrap()
    });
    let status = fs::read_to_string(format!("/proc/{}/status", spawned.pid)).unwrap();
    let none = |set: &str| status.contains(&format!("{set}:\t0000000000000000\n"));
    assert!(["CapInh", "CapPrm", "CapEff", "CapAmb"].into_iter().all(none), "{status}");
    assert!(status.contains("Uid:\t65534\t65534\t65534\t65534\n"), "{status}");
}

#[test]
fn the_channel_works_both_ways_and_its_end_is_seen() {
    let scene = Scene::new();
    let script = ["-c", "echo '{\"latency\":1}' >&3; read line <&3; echo \"got $line\" >&3"];
    let mut spawned = scene.try_spawn(OsStr::new("sh"), &script, None).unwrap();
    assert!(spawned.pidfd.is_alive().unwrap());
    assert!(scene.cgroup.processes().unwrap().contains(&spawned.pid));

    spawned.channel.set_nonblocking(false).unwrap();
    let mut said = [0; 14];
    spawned.channel.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"{\"latency\":1}\n");
    spawned.channel.write_all(b"word\n").unwrap();
    let mut rest = String::new();
    spawned.channel.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "got word\n");

    until("it has ended", || !spawned.pidfd.is_alive().unwrap());
    assert!(ended(&spawned).success());
}

#[test]
fn our_own_signal_mask_is_as_before() {
    let scene = Scene::new();
    let before = SigSet::thread_get_mask().unwrap();
    scene.says("true");
    scene.refusal("no-such-command", None);
    assert_eq!(SigSet::thread_get_mask().unwrap(), before);
}

#[test]
fn each_reason_for_not_starting_is_told_from_the_others() {
    let scene = Scene::new();
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let file = |name: &str, text: &str, mode| {
        let path = directory.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };

    let error = scene.refusal("no-such-command", None);
    assert!(matches!(&error, SpawnError::NotInPath { program, .. } if program == "no-such-command"), "{error}");

    let missing = directory.join("missing");
    let error = scene.refusal(&missing, None);
    assert!(matches!(&error, SpawnError::NoProgram { path } if *path == missing), "{error}");

    let plain = file("plain", "text", 0o644);
    let error = scene.refusal(&plain, None);
    assert!(matches!(&error, SpawnError::NotExecutable { path, .. } if *path == plain), "{error}");

    let orphan = file("orphan", "#!/no/such/interpreter\n", 0o755);
    // What another test's child has still open for writing cannot be run: until that child has come to its exec.
    until(
        "the missing interpreter is what is wrong",
        || matches!(scene.refusal(&orphan, None), SpawnError::NoInterpreter { path } if path == orphan),
    );

    for no_directory in [&missing, &plain] {
        let error = scene.refusal("true", Some(no_directory));
        assert!(matches!(&error, SpawnError::Directory { path, .. } if path == no_directory), "{error}");
    }

    assert!(!scene.cgroup.is_populated().unwrap());
}

#[test]
fn a_relative_program_is_relative_to_the_directory() {
    let scene = Scene::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("script");
    fs::write(&path, "#!/bin/sh\npwd\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();

    // Not yet, while another test's child has it open for writing.
    let mut spawned = None;
    until("the script can be run", || {
        spawned = scene.try_spawn(OsStr::new("./script"), &[], Some(directory.path())).ok();
        spawned.is_some()
    });
    let mut spawned = spawned.unwrap();

    let mut said = String::new();
    spawned.output.as_mut().unwrap().stdout.read_to_string(&mut said).unwrap();
    ended(&spawned);
    assert_eq!(Path::new(said.trim_end()), directory.path().canonicalize().unwrap());
}

#[test]
fn go_is_told_to_listen_by_plain_tcp_unless_it_was_told_otherwise() {
    let told = |own: &str| super::plain_tcp(Some(own.to_owned()));
    assert_eq!(super::plain_tcp(None), "multipathtcp=0");
    assert_eq!(told(""), "multipathtcp=0");
    assert_eq!(told("gctrace=1"), "gctrace=1,multipathtcp=0");
    assert_eq!(told("gctrace=1,multipathtcp=1"), "gctrace=1,multipathtcp=1");
}
