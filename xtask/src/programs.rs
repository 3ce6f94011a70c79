//! Builds llb and drives real servers under it: xtask/programs does it.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;

use crate::{paths, sh, test};

/// Builds both, installs Go, which programs are compiled by, and passes these words on.
pub(crate) fn run(words: &[OsString]) -> Result<()> {
    if !words.iter().any(|word| word == "--offline") {
        test::go::provide()?;
    }
    let cargo = |args: &[&str]| {
        let mut cargo = Command::new(sh::cargo());
        cargo.args(args).current_dir(paths::root());
        cargo
    };
    sh::run(&mut cargo(&["build", "--package", "llb-userspace", "--package", "llb-programs", "--all-features"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| paths::root().join("target"), Into::into);
    let mut programs = cargo(&["run", "--quiet", "--package", "llb-programs", "--all-features", "--", "--llb"]);
    sh::run(programs.arg(target.join("debug/llb")).args(words))
}
