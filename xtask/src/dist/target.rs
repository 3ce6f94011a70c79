//! The machines that llb is packaged for.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result};

use llb_kit::{paths, sh};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Machine {
    #[value(name = "x86-64")]
    X86,
    #[value(name = "aarch64")]
    Arm,
}

impl Machine {
    pub(crate) const ALL: [Machine; 2] = [Machine::X86, Machine::Arm];

    /// With musl, so that the binary is static and runs on every distribution.
    pub(crate) fn triple(self) -> &'static str {
        match self {
            Machine::X86 => "x86_64-unknown-linux-musl",
            Machine::Arm => "aarch64-unknown-linux-musl",
        }
    }

    /// As the kernel and rpm name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Machine::X86 => "x86_64",
            Machine::Arm => "aarch64",
        }
    }

    /// Builds llb for it, and returns where that is.
    pub(crate) fn build(self) -> Result<PathBuf> {
        self.provide_std()?;
        let mut cargo = Command::new(sh::cargo());
        cargo.args(["build", "--release", "--locked", "--package", "llb-userspace", "--bin", "llb", "--target"]);
        // The linker that Rust brings links for every machine, and musl comes with the target.
        let linker = format!("CARGO_TARGET_{}_LINKER", self.triple().to_uppercase().replace('-', "_"));
        sh::run(cargo.arg(self.triple()).current_dir(paths::root()).env(linker, "rust-lld"))?;
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| paths::root().join("target"), PathBuf::from);
        Ok(target.join(self.triple()).join("release/llb"))
    }

    fn provide_std(self) -> Result<()> {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let library = Command::new(rustc).args(["--print", "target-libdir", "--target", self.triple()]).output()?;
        if PathBuf::from(String::from_utf8_lossy(&library.stdout).trim()).is_dir() {
            return Ok(());
        }
        sh::run(Command::new("rustup").args(["target", "add", self.triple()]))
            .with_context(|| format!("there is no standard library for {} here", self.triple()))
    }
}
