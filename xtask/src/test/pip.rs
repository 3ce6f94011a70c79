//! What the package index that pip knows has for the tests, of a known version each, into target/.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::needs;
use crate::sh;

/// Installs what a file of requirements names, with versions and hashes, unless it is there.
pub(super) fn provide(requirement: &str, into: &Path) -> Result<()> {
    // Written when all else has succeeded.
    let installed = into.join("requirement.txt");
    let wanted = fs::read_to_string(requirement).with_context(|| format!("cannot read {requirement}"))?;
    if fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    needs::provide_pip()?;
    let names = wanted.lines().filter(|line| !line.starts_with(['#', ' '])).filter_map(|line| line.split(' ').next());
    println!("installing {}", names.collect::<Vec<_>>().join(" "));
    if into.exists() {
        fs::remove_dir_all(into).with_context(|| format!("cannot remove {}", into.display()))?;
    }
    sh::run(&mut pip(requirement, into))?;
    fs::write(&installed, wanted).with_context(|| format!("cannot write {}", installed.display()))
}

fn pip(requirement: &str, into: &Path) -> Command {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--root-user-action", "ignore", "--no-cache-dir", "--no-deps"]);
    pip.args(["--no-compile", "--only-binary", ":all:", "--require-hashes", "--requirement", requirement, "--target"]);
    pip.arg(into);
    pip
}
