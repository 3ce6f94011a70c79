//! What a container is to the kernel: process, mount and cgroup namespaces, a cgroup that is delegated, a read-only root and few
//! capabilities. `docs/containers.md` names them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::harness::{
    Launcher, Stage, Tally,
    fleet::LLB,
    proc::{mask_of, status},
    until,
};
use llb::internals::mounts::{cgroup_root, own_cgroup};
use nix::unistd::Pid;

const ADDRESS: &str = "127.0.0.1:8080";

/// As a container is given them.
const NAMED: [&str; 4] = ["bpf", "net_admin", "perfmon", "sys_ptrace"];

/// Orphans of each worker.
const ORPHANS: usize = 20;

/// Only the directory of temporary files can be written to, as a tmpfs; and the cgroups, of which no more is to be seen than is
/// the container's. `$ROOT` is where they are mounted.
const CONTAINER: &str = r#"mount --bind "$TEMPORARY" "$TEMPORARY"
mount -o remount,bind,ro /
umount -l "$ROOT" && mount -t cgroup2 none "$ROOT"
exec setpriv --bounding-set "$SET" "$0" "$@""#;

/// A cgroup for a container.
struct Delegated(PathBuf);

impl Delegated {
    fn new() -> Self {
        let path = own_cgroup().expect("cgroup v2").path.join(format!("container-{}", std::process::id()));
        fs::create_dir(&path).expect("root");
        Delegated(path)
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        // Its fleet has ended, or the harness has cleared it.
        let _ = fs::remove_dir(&self.0);
    }
}

fn container(cgroup: &Path) -> Launcher {
    let enter = format!("echo 0 > {}/cgroup.procs && exec \"$@\"", cgroup.display());
    let namespaces = ["--pid", "--fork", "--mount-proc", "--kill-child", "--cgroup", "--mount"];
    let words = [&["sh", "-c", &enter, "sh", "unshare"], &namespaces[..], &["sh", "-euc", CONTAINER]].concat();
    let set: String = NAMED.iter().map(|name| format!(",+{name}")).collect();
    let temporary = std::env::temp_dir().into_os_string().into_string().expect("UTF-8");
    let root = cgroup_root().expect("cgroup v2").into_os_string().into_string().expect("UTF-8");
    let env = [("TEMPORARY", temporary), ("ROOT", root), ("SET", format!("-all{set}"))];
    Launcher {
        wrapper: words.iter().map(|word| (*word).to_owned()).collect(),
        cgroup: Some(cgroup.to_owned()),
        env: env.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        ..Launcher::default()
    }
}

/// The children of a process, and whether each has ended and is not waited for.
fn children(pid: Pid) -> Vec<(Pid, bool)> {
    let stat = |entry: fs::DirEntry| {
        let child = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?);
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let (state, parent) = (fields.next()?, fields.next()?.parse().ok()?);
        (Pid::from_raw(parent) == pid).then_some((child, state == "Z"))
    };
    fs::read_dir("/proc").expect("/proc").flatten().filter_map(stat).collect()
}

#[test]
fn named_capabilities_and_a_read_only_root_suffice() {
    let stage = Stage::new();
    let cgroup = Delegated::new();
    let server = stage.static_server();
    let orphan = "(touch $STAGE/orphan.$WORKER_ID.$i &)";
    let script =
        format!("for i in $(seq {ORPHANS}); do {orphan}; done; ! touch /written || exit 1; exec '{server}' 8080");
    let args = ["-n", "2", "--policy", "round-robin"];
    let fleet = stage.start_by(&container(&cgroup.0), &args, &["sh", "-c", &script]);
    assert_eq!(fleet.status().pid, 1, "it is process one");
    let (one, _) = children(fleet.pid())[0];
    let rights = status(one);
    assert_eq!(rights.mask("CapBnd"), mask_of(&NAMED), "{rights:?}");
    assert_eq!(rights.mask("CapPrm"), mask_of(&["sys_ptrace"]), "it keeps what it needs later: {rights:?}");

    fleet.wait_for_groups(&[ADDRESS], 2);
    let mut tally = Tally::default();
    tally.ask(ADDRESS, "/", 8);
    tally.assert_steered(&fleet.status());
    assert_eq!((tally.of(0), tally.of(1)), (4, 4));

    let left = |slot: u32| (1..=ORPHANS).all(|i| stage.path().join(format!("orphan.{slot}.{i}")).exists());
    until("the orphans have done their work", || left(0) && left(1));
    until("they are waited for", || children(one).iter().all(|(_, is_zombie)| !is_zombie));
    assert!(fleet.command("reload").output().expect("the llb binary").status.success());
    assert!(fleet.command("stop").output().expect("the llb binary").status.success());
    assert_eq!(fleet.wait().code, Some(0));
}

/// What the doctor says in a container that lacks something.
fn doctor(script: &str, runtime_dir: &Path) -> String {
    let mut words = Command::new("unshare");
    words.args(["--mount", "sh", "-euc", script, LLB, "doctor", "--runtime-dir"]).arg(runtime_dir);
    let output = words
        .env("ROOT", cgroup_root().expect("cgroup v2"))
        .env("DIR", runtime_dir.parent().expect("a parent"))
        .output();
    let output = output.expect("unshare");
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn the_doctor_names_the_missing_flag() {
    let stage = Stage::new();
    let runtime_dir = stage.path().join("run");
    for (script, flag) in [
        ("exec setpriv --bounding-set -bpf,-sys_admin \"$0\" \"$@\"", "a container: --cap-add BPF)"),
        ("exec setpriv --bounding-set -net_admin,-sys_admin \"$0\" \"$@\"", "a container: --cap-add NET_ADMIN)"),
        ("exec setpriv --bounding-set -perfmon,-sys_admin \"$0\" \"$@\"", "a container: --cap-add PERFMON)"),
        ("mount -o remount,bind,ro \"$ROOT\"; exec \"$0\" \"$@\"", "a container: --security-opt writable-cgroups=true"),
        (
            "mount --bind \"$DIR\" \"$DIR\"; mount -o remount,bind,ro \"$DIR\"; exec \"$0\" \"$@\"",
            "a container: --tmpfs /run/llb)",
        ),
    ] {
        let said = doctor(script, &runtime_dir);
        assert!(said.contains(flag), "{flag}: {said}");
    }
}
