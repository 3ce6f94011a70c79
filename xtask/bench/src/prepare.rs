//! What a run needs before it begins: a release build, root, and the peers' programs.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::command_lines::NODE_WORKER;
use super::fleet::Bench;
use super::spec::Spec;
use llb_kit::sh;

/// Fails unless this is what `cargo xtask` starts: a release build, as root.
pub(crate) fn check() -> Result<()> {
    ensure!(
        !cfg!(debug_assertions) && sh::is_root()?,
        "this measures as root, in a release build; start it by `cargo xtask`"
    );
    Ok(())
}

/// The programs beside this one, and a directory of this name to write in.
pub(crate) fn bench(name: &str) -> Result<Bench> {
    let this = std::env::current_exe().context("where am I?")?;
    let llb = this.with_file_name("llb");
    if !llb.is_file() {
        bail!("there is no {}; start this by `cargo xtask`", llb.display());
    }
    let scratch = this.with_file_name(name);
    fs::create_dir_all(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
    let node_shares = sh::output(Command::new("node").arg("--version")).is_ok_and(|version| shares(&version));
    let bench = Bench { this, llb, scratch, node_shares };
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
