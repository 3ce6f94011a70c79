//! llb does everything in one loop: whatever it has to look through, the others wait for no more than a moment.

use std::process::{Command, Stdio};

use crate::harness::{Plain, Stage, until};

/// What processes may have open on a machine with many clients: so many have so many files each.
const PROCESSES: u32 = 6;
const FILES: u32 = 10_000;

/// Far less than to look through all that takes in a build without optimization, and more than this machine keeps a thread from
/// running.
const TURN_MS: f64 = 150.0;

/// Holds a port, and files, until its input ends.
const HOLDER: &str = r#"
import os, resource, socket, sys
processes, files = int(sys.argv[1]), int(sys.argv[2])
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
listener = socket.create_server(("127.0.0.1", 9090))
for _ in range(processes - 1):
    if not os.fork():
        break
held = [os.dup(listener.fileno()) for _ in range(files)]
print("held", flush=True)
sys.stdin.read()
"#;

#[test]
fn a_failing_start_leaves_the_loop_alive() {
    let stage = Stage::new();
    let server = stage.static_server();
    let said = stage.path().join("said");
    let mut holder = Command::new("python3");
    holder.args(["-c", HOLDER, &PROCESSES.to_string(), &FILES.to_string()]).stdin(Stdio::piped());
    let _holder = Plain::spawn(holder.stdout(std::fs::File::create(&said).unwrap()));
    until("it holds them", || {
        std::fs::read_to_string(&said).is_ok_and(|text| text.lines().count() == PROCESSES as usize)
    });

    let worker = format!("if [ -e $STAGE/fail ]; then exec '{server}' 9090; fi; exec '{server}' 8080");
    let fleet = stage.start(&["-n", "2"], &["sh", "-c", &worker]);
    stage.write("fail", "");
    let reload = fleet.command("reload").output().unwrap();
    assert_eq!(reload.status.code(), Some(6), "{}", String::from_utf8_lossy(&reload.stderr));
    let turn = fleet.status().loop_max_ms;
    eprintln!("the longest turn took {turn:.1} ms");
    assert!(turn > 0.0 && turn < TURN_MS, "the loop stood still for {turn:.1} ms");
    fleet.stop();
}
