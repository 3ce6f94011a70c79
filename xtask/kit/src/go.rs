//! The Go toolchain for the workers in Go.
//!
//! Debian's is older than Go 1.24 in some of its releases, and so does not listen by Multipath TCP unless it is told to, which is
//! what matters to llb. So it is one of a known version, from the package index that pip knows, into target/.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{paths, sh};

/// The package with its version and hash, as pip reads them.
const REQUIREMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/go.txt");

/// Whether it is there, in this version.
#[must_use]
pub fn is_there() -> bool {
    fs::read_to_string(installed()).is_ok_and(|installed| wanted().is_ok_and(|wanted| wanted == installed))
}

/// Installs it, unless it is there. Takes pip.
///
/// # Errors
/// If pip fails.
pub fn provide() -> Result<()> {
    if is_there() {
        return Ok(());
    }
    let wanted = wanted()?;
    println!("installing {}", wanted.split(' ').next().unwrap_or_default());
    let toolchain = toolchain();
    if toolchain.exists() {
        fs::remove_dir_all(&toolchain).with_context(|| format!("cannot remove {}", toolchain.display()))?;
    }
    sh::run(&mut pip(&toolchain)).context("cannot install Go, which the worker in Go is built by")?;
    fs::write(installed(), wanted).with_context(|| format!("cannot write {}", installed().display()))
}

fn toolchain() -> PathBuf {
    paths::go().join("toolchain")
}

/// Written when all else has succeeded.
fn installed() -> PathBuf {
    toolchain().join("requirement.txt")
}

fn wanted() -> Result<String> {
    fs::read_to_string(REQUIREMENT).with_context(|| format!("cannot read {REQUIREMENT}"))
}

fn pip(toolchain: &Path) -> Command {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--root-user-action", "ignore", "--no-cache-dir", "--no-deps"]);
    pip.args(["--no-compile", "--only-binary", ":all:", "--require-hashes", "--requirement", REQUIREMENT, "--target"]);
    pip.arg(toolchain);
    pip
}
