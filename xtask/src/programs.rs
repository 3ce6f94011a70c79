//! Builds llb and drives real servers under it: xtask/programs does it.

use std::ffi::{OsStr, OsString};
use std::process::Command;

use anyhow::Result;

use llb_kit::{needs, paths, sh};

/// Installs the ten that continuous integration drives.
pub(crate) fn install() -> Result<()> {
    needs::GO.provide()?;
    start(&["--few", "--install"])
}

/// Builds both, installs Go, which programs are compiled by, and passes these words on.
pub(crate) fn run(words: &[OsString]) -> Result<()> {
    if !words.iter().any(|word| word == "--offline") {
        needs::GO.provide()?;
    }
    sh::run(&mut cargo(&["build", "--package", "llb-userspace", "--all-features"]))?;
    let llb = paths::built("debug").join("llb");
    let llb = [OsString::from("--llb"), llb.into()];
    start(&[&llb, words].concat())
}

fn start(words: &[impl AsRef<OsStr>]) -> Result<()> {
    let programs = ["run", "--quiet", "--package", "llb-programs", "--all-features", "--"];
    sh::run(cargo(&programs).args(words))
}

fn cargo(args: &[&str]) -> Command {
    let mut cargo = Command::new(sh::cargo());
    cargo.args(args).current_dir(paths::root());
    cargo
}
