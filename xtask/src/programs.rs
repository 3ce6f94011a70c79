//! Builds llb and drives real servers under it: xtask/programs does it.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;

use llb_kit::{needs, paths, sh};

/// Builds both, installs Go, which programs are compiled by, and passes these words on.
pub(crate) fn run(words: &[OsString]) -> Result<()> {
    if !words.iter().any(|word| word == "--offline") {
        needs::GO.provide()?;
    }
    let cargo = |args: &[&str]| {
        let mut cargo = Command::new(sh::cargo());
        cargo.args(args).current_dir(paths::root());
        cargo
    };
    sh::run(&mut cargo(&["build", "--package", "llb-userspace", "--package", "llb-programs", "--all-features"]))?;
    let mut programs = cargo(&["run", "--quiet", "--package", "llb-programs", "--all-features", "--", "--llb"]);
    sh::run(programs.arg(paths::built("debug").join("llb")).args(words))
}
