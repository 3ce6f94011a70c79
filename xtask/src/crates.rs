//! The chores that are crates of their own, as they take dependencies that the others need not wait for. Cargo builds one
//! when it is asked for.

use std::{ffi::OsString, os::unix::process::CommandExt, process::Command};

use anyhow::{Context, Result, bail};
use llb_kit::{paths, root, sh};

/// A crate of chores.
struct Tool {
    package: &'static str,
    chores: &'static [&'static str],
    profile: Profile,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Profile {
    Dev,
    /// It computes.
    Release,
    /// It measures: a release build, with one of llb beside it, and as root.
    Measuring,
}

const TOOLS: [Tool; 4] = [
    Tool { package: "llb-api", chores: &["api"], profile: Profile::Dev },
    Tool { package: "llb-bench", chores: &["bench", "costs"], profile: Profile::Measuring },
    Tool { package: "llb-simulate", chores: &["simulate"], profile: Profile::Release },
    Tool { package: "llb-vm", chores: &["vm"], profile: Profile::Dev },
];

/// What they are.
pub(crate) const HELP: &str = "Chores that are built when they are first asked for:
  api       List the public API of the libraries in their public-api.txt
  bench     Measure llb against its peers on this machine; asks for root
  costs     Measure what llb itself costs; asks for root
  simulate  Compare the ways to choose a worker, in a simulation
  vm        Boot the oldest kernels that llb is for in virtual machines, and run it and its tests there";

/// Builds the chore that the first of these words names, and runs it with all of them. It takes our place, so a signal meant
/// for us is its.
pub(crate) fn run(words: &[OsString]) -> Result<()> {
    let chore = words.first().map(|word| word.to_string_lossy()).unwrap_or_default();
    let Some(tool) = TOOLS.iter().find(|tool| tool.chores.contains(&&*chore)) else {
        bail!("there is no chore {chore:?}; `cargo xtask --help` lists them");
    };
    sh::run(&mut tool.build())?;
    let profile = if tool.profile == Profile::Dev { "debug" } else { "release" };
    let program = paths::built(profile).join(tool.package);
    let mut line: Vec<OsString> = Vec::new();
    if tool.profile == Profile::Measuring {
        line.extend(root::prefix()?.into_iter().map(OsString::from));
    }
    line.push(program.clone().into());
    line.extend(words.iter().cloned());
    Err(Command::new(&line[0]).args(&line[1..]).exec()).with_context(|| format!("cannot start {}", program.display()))
}

/// Whether one of them is called so.
#[cfg(test)]
pub(crate) fn has(chore: &str) -> bool {
    TOOLS.iter().any(|tool| tool.chores.contains(&chore))
}

impl Tool {
    fn build(&self) -> Command {
        let mut cargo = Command::new(sh::cargo());
        cargo.args(["build", "--quiet", "--package", self.package]).current_dir(paths::root());
        if self.profile != Profile::Dev {
            cargo.arg("--release");
        }
        if self.profile == Profile::Measuring {
            cargo.args(["--package", "llb-userspace"]);
        }
        cargo
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_lists_every_chore_that_is_built_on_demand() {
        let listed: Vec<_> = HELP.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).collect();
        assert_eq!(listed, TOOLS.map(|tool| tool.chores).concat());
    }
}
