//! Which version of a program is driven.

use std::process::Command;

use anyhow::{Context, Result};

use crate::{
    program::{Program, Source},
    provide::Installed,
};

const RUST_LOCK: &str = include_str!("../rust/Cargo.lock");

impl Installed {
    /// The version of a program, as its package has it.
    pub(crate) fn version(&self, program: &Program) -> Result<String> {
        let package = program.package;
        let said = |command: &mut Command| {
            let out = command.output().with_context(|| format!("cannot start {command:?}"))?;
            anyhow::ensure!(out.status.success(), "{command:?} failed ({})", out.status);
            anyhow::Ok(String::from_utf8_lossy(&out.stdout).trim().trim_start_matches('v').to_owned())
        };
        let said = match (program.source, package) {
            (Source::Pip, _) => {
                let code = format!("import importlib.metadata as m; print(m.version('{package}'))");
                said(Command::new(self.venv.join("bin/python")).args(["-c", &code]))?
            }
            (Source::Npm, "node" | "npm") => said(Command::new(package).arg("--version"))?,
            (source @ (Source::Npm | Source::Runtime), _) => {
                let modules = if source == Source::Npm { &self.node_modules } else { &self.runtimes };
                let code = format!("require('{}/{package}/package.json').version", modules.display());
                said(Command::new("node").args(["-p", &code]))?
            }
            (Source::Apt(_), _) => said(Command::new("dpkg-query").args(["-W", "-f=${Version}", package]))?,
            (Source::Go, _) => said(Command::new(&self.go).args(["env", "GOVERSION"]))?,
            (Source::Java, _) => said(Command::new(package).arg("--version"))?,
            (Source::Cargo, _) => locked(package).context("it is not in the lock file")?.to_owned(),
        };
        Ok(said.lines().next().unwrap_or_default().to_owned())
    }
}

fn locked(package: &str) -> Option<&str> {
    let mut lines = RUST_LOCK.lines().skip_while(|line| *line != format!("name = \"{package}\""));
    lines.nth(1)?.strip_prefix("version = ")?.trim_matches('"').into()
}
