//! What llb could not write to the kernel's maps is shown, and tried again.

use crate::harness::{Launcher, Stage, get, stage::fixture, until};

const SERVING: &str = "127.0.0.1:8080";
const LATE: &str = "127.0.0.1:9000";

#[test]
fn an_unfindable_listener_is_shown_as_pending() {
    let stage = Stage::new();
    let script = fixture("binds.py");
    let (one, command) = (["-n", "1"], ["python3", script.as_str()]);
    let mut fleet = stage.start(&one, &command);
    fleet.kill_master();
    // Root's workers hold this right, so without it they cannot be looked into.
    let wrapper = ["setpriv", "--bounding-set", "-sys_ptrace"].map(String::from).into();
    fleet.take_over_by(Launcher { wrapper, ..Launcher::default() }, &one, &command);
    assert_eq!(fleet.status().pending, [], "what was found is as it should be");

    get(SERVING, "/open/9000");
    until("it is shown, and tried again", || {
        let pending = fleet.status().pending;
        pending.iter().any(|it| it.object == format!("socket of slot 0 at {LATE}") && it.attempts > 1)
    });
    let addresses = || fleet.status().groups.into_iter().map(|group| group.address).collect::<Vec<_>>();
    assert_eq!(addresses(), [SERVING]);

    // The next worker can be looked into, and what is gone is pending no more.
    assert!(fleet.command("reload").status().unwrap().success());
    until("nothing is pending", || fleet.status().pending.is_empty());
    get(SERVING, "/open/9000");
    until("it is steered", || addresses().contains(&LATE.to_owned()));
    assert_eq!(fleet.status().pending, []);
}
