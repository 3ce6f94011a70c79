//! What makes the packages: maintained tools of known versions, each built once.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use llb_kit::{paths, sh};

pub(crate) struct Tools {
    pub deb: PathBuf,
    pub rpm: PathBuf,
    pub sbom: PathBuf,
}

pub(crate) fn provide() -> Result<Tools> {
    Ok(Tools {
        deb: tool("cargo-deb", "3.8.0")?,
        rpm: tool("cargo-generate-rpm", "0.21.1")?,
        sbom: tool("cargo-cyclonedx", "0.5.9")?,
    })
}

/// A tool of cargo's, in a directory of its version.
fn tool(name: &str, version: &str) -> Result<PathBuf> {
    let home = env::var_os("HOME").context("HOME is not set")?;
    let dir = Path::new(&home).join(".cache/llb").join(format!("{name}-{version}"));
    let program = dir.join("bin").join(name);
    if !program.is_file() {
        println!("building {name} {version} into {}; takes minutes, once", dir.display());
        let mut cargo = Command::new(sh::cargo());
        cargo.args(["install", "--quiet", "--locked", "--version", version, name, "--root"]).arg(&dir);
        // Whole-program optimisation takes longer than they ever save.
        cargo.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
        cargo.env("CARGO_TARGET_DIR", paths::root().join("target/dist/tools"));
        sh::run(&mut cargo).with_context(|| format!("cannot build {name}"))?;
    }
    Ok(program)
}
