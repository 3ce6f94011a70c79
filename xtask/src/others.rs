//! The chores that this xtask is built without, and what builds it with them.

use std::{ffi::OsString, os::unix::process::CommandExt, process::Command};

use anyhow::{Context, Result};

use llb_kit::{paths, sh};

/// What they are.
pub(crate) const HELP: &str = "Chores that are built when they are first asked for:
  api       List the public API of the libraries in their public-api.txt
  bench     Measure llb against its peers on this machine; asks for root
  costs     Measure what llb itself costs; asks for root
  simulate  Compare the ways to choose a worker, in a simulation
  vm        Boot the oldest kernels that llb is for in virtual machines, and run it and its tests there";

/// Builds xtask with every chore and runs one of them. It takes our place, so a signal meant for us is its.
pub(crate) fn run(words: &[OsString]) -> Result<()> {
    let mut cargo = Command::new(sh::cargo());
    // The manifest is named, and not the directory changed: the words may have paths in them.
    cargo.args(["run", "--quiet", "--package", "xtask", "--features", "all-chores", "--manifest-path"]);
    cargo.arg(paths::root().join("Cargo.toml"));
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    Err(cargo.arg("--").args(words).exec()).context("cannot start cargo")
}
