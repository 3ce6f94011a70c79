//! Each way in which a fleet cannot run: what llb says, and its exit code.

use std::{
    fs::{self, Permissions},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    process::{Command, Output, Stdio},
};

use crate::harness::{Plain, Stage, fleet::LLB, stage::fixture, until};

/// Runs llb on the stage and waits for its end.
#[track_caller]
fn run(stage: &Stage, args: &[&str], command: &[&str]) -> (i32, String) {
    let ended = stage.launch(args, command).wait();
    (ended.code.expect("an exit code"), ended.stderr)
}

#[track_caller]
fn assert_fails(stage: &Stage, args: &[&str], command: &[&str], code: i32, says: &[&str]) {
    let (found, stderr) = run(stage, args, command);
    assert_says(found, &stderr, code, says);
}

#[track_caller]
fn assert_says(found: i32, stderr: &str, code: i32, says: &[&str]) {
    assert_eq!(found, code, "{stderr}");
    for words in says {
        assert!(stderr.contains(words), "{words:?} is not in: {stderr}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[track_caller]
fn assert_output(output: &Output, code: i32, says: &[&str]) {
    assert_says(output.status.code().expect("an exit code"), &String::from_utf8_lossy(&output.stderr), code, says);
}

fn server() -> String {
    format!("exec python3 '{}' 127.0.0.1 8080", fixture("asyncio_server.py"))
}

#[test]
fn a_command_that_cannot_be_run() {
    let stage = Stage::new();
    let plain = stage.write("plain.txt", "no program");
    let scriptless = stage.write("scriptless", "#!/no/such/interpreter\n");
    fs::set_permissions(&scriptless, Permissions::from_mode(0o755)).unwrap();
    let (plain, scriptless) = (plain.to_str().unwrap(), scriptless.to_str().unwrap());
    assert_fails(
        &stage,
        &["-n", "3"],
        &["no-such-command"],
        127,
        &["\"no-such-command\" in PATH", "cannot start worker "],
    );
    assert_fails(&stage, &[], &["/no/such/program"], 127, &["there is no program /no/such/program"]);
    assert_fails(&stage, &[], &[plain], 126, &[plain, "chmod +x"]);
    assert_fails(&stage, &[], &["/etc"], 126, &["/etc"]);
    assert_fails(&stage, &[], &[scriptless], 126, &[scriptless, "#!"]);
}

#[test]
fn a_wrong_command_line() {
    for (args, says) in [
        (&["-n", "0", "--", "true"][..], "1..=256"),
        (&["-n", "300", "--", "true"], "1..=256"),
        (&["-n", "x", "--", "true"], "invalid digit"),
        (&["-p", "0", "--", "true"], "port 0"),
        (&["-p", "x", "--", "true"], "give a port, as 8080"),
        (&["-p", "70000", "--", "true"], "give a port"),
        (&["--name", "a/b", "--", "true"], "a/b"),
        (&["--name", "", "--", "true"], "--name"),
        (&["--ready-timeout", "soon", "--", "true"], "soon"),
        (&["--policy", "best", "--", "true"], "least-latency"),
        (&[], "<CMD>"),
        (&["--"], "<CMD>"),
    ] {
        let output = Command::new(LLB).arg("run").args(args).output().unwrap();
        assert_output(&output, 2, &[says]);
    }
}

#[test]
fn workers_that_exit_at_once_are_quoted() {
    let stage = Stage::new();
    let script = "echo one; echo 'cannot read app.conf' >&2; exit 3";
    assert_fails(
        &stage,
        &["-n", "2"],
        &["sh", "-c", script],
        4,
        &["exited with code 3 before it was ready", "its last lines:", "  | cannot read app.conf", "  | one"],
    );
    assert_fails(&stage, &["-n", "1"], &["sh", "-c", "kill -SEGV $$"], 4, &["killed by SIGSEGV", "it wrote nothing"]);
    let daemon = "(setsid sleep 600 &)";
    assert_fails(&stage, &["-n", "1"], &["sh", "-c", daemon], 4, &["code 0", "goes to the background"]);
}

#[test]
fn a_worker_that_never_listens() {
    let stage = Stage::new();
    let limit = ["-n", "1", "--ready-timeout", "1s"];
    let says = ["worker 0 has not become ready within 1s", "(sleep) is", "--ready-timeout"];
    assert_fails(&stage, &limit, &["sleep", "600"], 4, &says);
    let unix = "import socket, time; s = socket.socket(socket.AF_UNIX); s.bind('sock'); s.listen(); time.sleep(600)";
    let there = format!("cd '{}' && exec python3 -c \"{unix}\"", stage.path().display());
    assert_fails(&stage, &["-n", "1", "--ready-timeout", "3s"], &["sh", "-c", &there], 4, &["sock"]);
}

#[test]
fn a_port_that_somebody_else_holds() {
    let stage = Stage::new();
    let holder = TcpListener::bind("127.0.0.1:8080").unwrap();
    let says = format!("port 8080 is held by pid {}", std::process::id());
    assert_fails(&stage, &["-n", "1"], &["sh", "-c", &server()], 4, &[&says, "which llb did not start"]);
    drop(holder);
}

#[test]
fn workers_of_several_users_cannot_share_a_port() {
    let stage = Stage::new();
    fs::set_permissions(stage.path(), Permissions::from_mode(0o755)).unwrap();
    let serve =
        "exec setpriv --reuid $((1000+WORKER_ID)) --clear-groups /usr/bin/python3 -m http.server 8080 --directory /";
    // One of them has the port: it serves on.
    let fleet = stage.start(&["-n", "2", "--respawn", "100ms"], &["sh", "-c", serve]);
    let said = fleet.stderr();
    for part in [
        "stays empty",
        "port 8080 is held by",
        "only sockets of one user share a port",
        "run all workers as the same user",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(fleet.status().workers.len(), 1);
    assert_eq!(fleet.stop().code, Some(0));
}

#[test]
fn a_second_llb_of_the_name() {
    let stage = Stage::new();
    let first = stage.start(&["-n", "1"], &["sh", "-c", &server()]);
    let second = first.command("run").args(["--", "true"]).output().unwrap();
    assert_output(&second, 5, &["runs already", &format!("pid {} (llb)", first.pid()), "--name"]);
    assert!(first.status().up);
}

/// The name counts, not the directory: the cgroup is the name's, and what lives in it must not be taken for a leftover.
#[test]
fn a_second_llb_of_the_name_in_another_runtime_directory() {
    let stage = Stage::new();
    let first = stage.start(&["-n", "1"], &["python3", "-m", "http.server", "8080"]);
    let elsewhere = stage.path().join("elsewhere");
    let second = Command::new(env!("CARGO_BIN_EXE_llb"))
        .args(["run", "--name", first.name(), "--runtime-dir"])
        .arg(&elsewhere)
        .args(["--", "true"])
        .output()
        .unwrap();
    assert_output(&second, 5, &["runs already", "--name"]);
    assert_eq!(first.status().workers[0].restarts, 0, "the living fleet is left alone");
}

#[test]
fn not_root() {
    let stage = Stage::new();
    fs::set_permissions(stage.path(), Permissions::from_mode(0o755)).unwrap();
    let llb = stage.path().join("llb");
    fs::copy(LLB, &llb).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&llb).args(["run", "--", "true"]);
    assert_output(&command.output().unwrap(), 3, &["root", "sudo"]);
}

/// Runs a shell script in a mount namespace of its own; `$LLB` is the binary.
fn in_own_mounts(stage: &Stage, script: &str) -> Output {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-ec", script]).env("LLB", LLB).env("STAGE", stage.path());
    command.stdin(Stdio::null()).output().expect("unshare")
}

#[test]
fn no_cgroup_v2() {
    let stage = Stage::new();
    let script = "awk '$3 ~ /^cgroup/ { print $2 }' /proc/mounts | sort -r | while read m; do umount -l $m; done
        exec \"$LLB\" run --name none --runtime-dir $STAGE/run -- true";
    assert_output(&in_own_mounts(&stage, script), 3, &["cgroup v2"]);
}

#[test]
fn a_runtime_directory_that_cannot_be_used() {
    let stage = Stage::new();
    let file = stage.write("file", "");
    let run_in = |directory: &std::path::Path| {
        Command::new(LLB).args(["run", "--name", "dir", "--runtime-dir"]).arg(directory).args(["--", "true"]).output()
    };
    let says = ["cannot make the directory", file.to_str().unwrap(), "name a runtime directory"];
    assert_output(&run_in(&file).unwrap(), 1, &says);
    assert_output(&run_in(&file.join("below")).unwrap(), 1, &says);

    let full = "mkdir $STAGE/full && mount -t tmpfs -o size=4k,nr_inodes=4 none $STAGE/full
        exec \"$LLB\" run --name full --runtime-dir $STAGE/full -- true";
    assert_output(&in_own_mounts(&stage, full), 1, &["/full", "No space left"]);
    let read_only = "mkdir $STAGE/ro && mount -t tmpfs -o ro none $STAGE/ro
        exec \"$LLB\" run --name ro --runtime-dir $STAGE/ro -- true";
    assert_output(&in_own_mounts(&stage, read_only), 1, &["/ro", "Read-only"]);
}

#[test]
fn missing_rights() {
    let stage = Stage::new();
    let mut command = Command::new("capsh");
    command
        .args(["--drop=cap_bpf,cap_sys_admin", "--", "-c"])
        .arg("exec \"$0\" run --name caps --runtime-dir $1/run -- true");
    command.arg(LLB).arg(stage.path());
    assert_output(&command.output().expect("capsh"), 3, &["llb doctor"]);
}

#[test]
fn nobody_to_ask() {
    let stage = Stage::new();
    let mut command = Command::new(LLB);
    command.args(["status", "--name", "nobody", "--runtime-dir"]).arg(stage.path());
    assert_output(&command.output().unwrap(), 1, &["no llb named nobody runs here"]);
}

/// A master that is asked to end while its workers fail ends once, and says why.
#[test]
fn a_stop_while_coming_up_is_no_failure() {
    let stage = Stage::new();
    let log = stage.path().join("log");
    let mut command = Command::new(LLB);
    command.args(["run", "--name", &format!("early-{}", std::process::id()), "--runtime-dir"]);
    command.arg(stage.path().join("run")).args(["-n", "2", "--", "sh", "-c", "touch $STAGE/started; exec sleep 600"]);
    command.env("STAGE", stage.path()).stderr(fs::File::create(&log).unwrap());
    let llb = Plain::spawn(&mut command);
    until("its workers run", || stage.path().join("started").exists());
    let status = llb.stop();
    assert!(status.success(), "{status}: {}", fs::read_to_string(&log).unwrap());
}
