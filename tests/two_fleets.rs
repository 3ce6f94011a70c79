//! Two fleets on one port: the second is refused, and told whose it is.

mod harness;

use harness::{Stage, get, stage::fixture};

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
        let second = harness::Fleet::launch(elsewhere.path(), args, &command.each_ref().map(String::as_str));
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
        let second = harness::Fleet::launch(elsewhere.path(), &["-n", "2"], &["python3", &script, address, option]);
        let name = second.name().to_owned();
        let ended = second.wait();
        assert_eq!(ended.code, Some(4), "{}", ended.stderr);
        let says = format!("port 9053 is fleet {}'s, and fleet {name} cannot have it as well", first.name());
        assert!(ended.stderr.contains(&says), "{says:?} is not in: {}", ended.stderr);
    }
    // The same port of TCP is anybody's.
    let elsewhere = tempfile::tempdir().unwrap();
    let third = harness::Fleet::launch(
        elsewhere.path(),
        &["-n", "2"],
        &["python3", &fixture("listeners.py"), "127.0.0.1@9053"],
    );
    third.wait_until_serving();
    assert!(get("127.0.0.1:9053", "/").slot() < 2);
    assert_eq!(first.status().udp.unwrap().groups[0].slots, [0, 1]);
}
