//! Two fleets on one port: the second is refused, and told whose it is.

use std::{fs, path::PathBuf, thread::sleep, time::Duration};

use crate::harness::{Launcher, Stage, get, stage::fixture};
use llb::internals::mounts::own_cgroup;

/// The cgroup of a unit of systemd's.
struct Unit(PathBuf);

impl Drop for Unit {
    fn drop(&mut self) {
        // Its fleet has ended, or the harness has cleared it.
        let _ = fs::remove_dir(&self.0);
    }
}

fn server(options: &str) -> [String; 3] {
    ["python3".to_owned(), fixture("listeners.py"), format!("127.0.0.1@8080{options}")]
}

#[test]
fn a_port_of_another_fleet_is_refused_with_both_names() {
    let stage = Stage::new();
    let command = server("");
    let first = stage.start(&["-n", "2"], &command.each_ref().map(String::as_str));
    // One that shares the port by itself is refused no less.
    for (args, options) in [(&["-n", "2"][..], ""), (&["-n", "2", "-p", "8080"], ""), (&["-n", "2"], "@reuse")] {
        let elsewhere = tempfile::tempdir().unwrap();
        let command = server(options);
        let second = crate::harness::Fleet::launch(elsewhere.path(), args, &command.each_ref().map(String::as_str));
        let name = second.name().to_owned();
        let ended = second.wait();
        assert_eq!(ended.code, Some(4), "{}", ended.stderr);
        let says = format!("port 8080 is fleet {}'s, and fleet {name} cannot have it as well", first.name());
        assert!(ended.stderr.contains(&says), "{says:?} is not in: {}", ended.stderr);
    }
    (0..20).for_each(|_| assert!(get("127.0.0.1:8080", "/").slot() < 2));
    let status = first.status();
    assert_eq!(status.groups[0].slots, [0, 1]);
    let outcomes: Vec<_> =
        status.selector.iter().filter(|(_, count)| **count > 0).map(|(name, _)| name.as_str()).collect();
    assert!(outcomes.iter().all(|name| !name.contains("fallback")), "{outcomes:?}");
}

#[test]
fn a_udp_port_of_another_fleet_is_refused() {
    let stage = Stage::new();
    let (script, address) = (fixture("udp.py"), "127.0.0.1:9053");
    let first = stage.start(&["-n", "2"], &["python3", &script, address]);
    for option in ["", "reuseaddr"] {
        let elsewhere = tempfile::tempdir().unwrap();
        let second =
            crate::harness::Fleet::launch(elsewhere.path(), &["-n", "2"], &["python3", &script, address, option]);
        let name = second.name().to_owned();
        let ended = second.wait();
        assert_eq!(ended.code, Some(4), "{}", ended.stderr);
        let says = format!("port 9053 is fleet {}'s, and fleet {name} cannot have it as well", first.name());
        assert!(ended.stderr.contains(&says), "{says:?} is not in: {}", ended.stderr);
    }
    // The same port of TCP is anybody's.
    let elsewhere = tempfile::tempdir().unwrap();
    let third = crate::harness::Fleet::launch(
        elsewhere.path(),
        &["-n", "2"],
        &["python3", &fixture("listeners.py"), "127.0.0.1@9053"],
    );
    third.wait_until_serving();
    assert!(get("127.0.0.1:9053", "/").slot() < 2);
    assert_eq!(first.status().udp.unwrap().groups[0].slots, [0, 1]);
}

/// Every port would be that fleet's, and no new worker could have one.
#[test]
fn a_unit_named_like_a_fleet_is_none() {
    let unit = own_cgroup().expect("cgroup v2").path.join(format!("llb.{}.service", std::process::id()));
    fs::create_dir(&unit).expect("root");
    let unit = Unit(unit);
    let enter = format!("echo 0 > {}/cgroup.procs && exec \"$@\"", unit.0.display());
    let wrapper = ["sh", "-c", &enter, "sh"].map(str::to_owned).to_vec();
    let by = Launcher { wrapper, cgroup: Some(unit.0.clone()), ..Launcher::default() };
    let stage = Stage::new();
    let fleet = stage.start_by(&by, &["-n", "2"], &server("").each_ref().map(String::as_str));
    // Other fleets are looked for once a second at most.
    sleep(Duration::from_millis(1100));
    let reload = fleet.command("reload").output().expect("the llb binary");
    assert!(reload.status.success(), "{}", String::from_utf8_lossy(&reload.stderr));
    assert_eq!(fleet.status().generation, 2);
}
