//! The machines that llb is packaged for.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use llb_kit::{musl, paths, sh};

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
            Machine::X86 => musl::X86,
            Machine::Arm => musl::ARM,
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
        musl::provide_std(self.triple())?;
        let mut cargo = Command::new(sh::cargo());
        cargo.args(["build", "--release", "--locked", "--package", "llb-userspace", "--bin", "llb"]);
        sh::run(musl::build_for(&mut cargo, self.triple()).current_dir(paths::root()))?;
        Ok(paths::built(self.triple()).join("release/llb"))
    }
}
