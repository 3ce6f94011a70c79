//! What a run needs before it begins: a release build, root, and the peers' programs.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::command::NODE_WORKER;
use super::fleet::Bench;
use super::spec::Spec;
use llb_kit::{paths, sh};

pub(crate) fn must_start_over() -> Result<bool> {
    Ok(cfg!(debug_assertions) || !sh::is_root()?)
}

/// Builds this with these features, and llb, for release, and runs this again as root. It takes our place, so a signal
/// meant for us is its.
pub(crate) fn over(features: &[&str]) -> Result<()> {
    let build = ["build", "--release", "--package", "llb-userspace", "--package", "xtask", "--features"];
    let features = [&["all-chores"], features].concat();
    let features = features.iter().map(|feature| format!("xtask/{feature}")).collect::<Vec<_>>().join(",");
    sh::run(Command::new(sh::cargo()).args(build).arg(features).current_dir(paths::root()))?;
    let xtask = paths::built("release").join("xtask");
    let mut again = if sh::is_root()? {
        Command::new(&xtask)
    } else {
        let sudo = sh::find("sudo").context("measuring needs root and there is no sudo here; run this as root")?;
        let mut again = Command::new(sudo);
        again.arg(&xtask);
        again
    };
    let error = again.args(std::env::args_os().skip(1)).exec();
    Err(error).with_context(|| format!("cannot start {}", xtask.display()))
}

/// The programs beside this one, and a directory of this name to write in.
pub(crate) fn bench(name: &str) -> Result<Bench> {
    let xtask = std::env::current_exe().context("where am I?")?;
    let llb = xtask.with_file_name("llb");
    if !llb.is_file() {
        bail!("there is no {}; start this by `cargo xtask`", llb.display());
    }
    let scratch = xtask.with_file_name(name);
    fs::create_dir_all(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
    let node_shares = sh::output(Command::new("node").arg("--version")).is_ok_and(|version| shares(&version));
    let bench = Bench { xtask, llb, scratch, node_shares };
    let worker = bench.node_worker();
    fs::write(&worker, NODE_WORKER).with_context(|| format!("cannot write {}", worker.display()))?;
    Ok(bench)
}

/// Whether a Node of this version knows `reusePort`: 22.12 and 23.1 brought it.
fn shares(version: &str) -> bool {
    let mut numbers = version.trim().trim_start_matches('v').split('.').map_while(|number| number.parse::<u32>().ok());
    let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    (major, minor) >= (23, 1) || (major == 22 && minor >= 12)
}

/// Takes out whoever needs a program that is not installed, and says so.
pub(super) fn leave_out(spec: &mut Spec) -> Vec<String> {
    let mut said = Vec::new();
    let kind = spec.kind;
    spec.peers.retain(|peer| {
        let missing = peer.program(kind).filter(|program| sh::find(program).is_none());
        said.extend(missing.map(|program| format!("{program} is not installed; {} is left out.", peer.name())));
        missing.is_none()
    });
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_shares_a_port_since_22_12_and_23_1() {
        assert!(["v22.12.0\n", "v23.1.0", "v24.0.1"].iter().all(|version| shares(version)));
        assert!(!["v20.20.2\n", "v22.11.0", "v23.0.0", "what"].iter().any(|version| shares(version)));
    }
}
