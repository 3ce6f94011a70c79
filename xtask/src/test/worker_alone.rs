//! A worker that uses `llb::worker` takes no eBPF, no master, and little else.

use std::collections::BTreeSet;
use std::process::Command;

use llb_kit::{paths, sh};

/// What only a master needs; the compiled kernel side comes with aya.
const MASTERS: [&str; 8] = ["aya", "aya-log", "anyhow", "clap", "llb-common", "rustix", "toml", "tracing"];

/// Six for the derived errors, five for JSON, six for system calls.
const MOST: usize = 17;

/// The crates that llb-userspace is built from with these features, itself left out.
fn crates(features: &str) -> BTreeSet<String> {
    let mut tree = Command::new(sh::cargo());
    tree.args(["tree", "--offline", "--locked", "--package", "llb-userspace", "--no-default-features", "--features"]);
    tree.args([features, "--edges", "normal", "--prefix", "none", "--format", "{p}"]).current_dir(paths::root());
    let crates = sh::output(&mut tree).unwrap();
    let names = crates.lines().filter_map(|line| line.split(' ').next());
    names.filter(|name| !["", "llb-userspace"].contains(name)).map(str::to_owned).collect()
}

#[test]
fn a_worker_takes_nothing_of_the_master() {
    let default = crates("master,tokio,tower");
    assert!(MASTERS.iter().all(|master| default.contains(*master)), "{default:?}");
    for features in ["worker", "tokio", "tower", "tokio,tower"] {
        let crates = crates(features);
        let masters: Vec<_> = MASTERS.iter().filter(|master| crates.contains(**master)).collect();
        assert!(masters.is_empty(), "{features}: {masters:?}");
        assert!(crates.contains("socket2"), "{features}: {crates:?}");
    }
    let worker = crates("worker");
    assert!(worker.len() <= MOST, "{worker:?}");
    let tower = &crates("tower") - &worker;
    assert!(tower.iter().eq(["pin-project-lite", "tower-layer", "tower-service"]), "{tower:?}");
}
