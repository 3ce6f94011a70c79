//! Python packages of known versions, in an environment of their own.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result};

use crate::sh;

/// An environment of Python's.
pub struct Venv {
    /// Where it is.
    pub dir: PathBuf,
    /// The packages with their versions, as pip reads them.
    pub requirements: PathBuf,
}

impl Venv {
    /// Its interpreter.
    #[must_use]
    pub fn python(&self) -> PathBuf {
        self.dir.join("bin/python")
    }

    /// Whether it has these packages in these versions.
    #[must_use]
    pub fn is_there(&self) -> bool {
        let wanted = fs::read_to_string(&self.requirements).ok();
        wanted.is_some() && fs::read_to_string(self.stamp()).ok() == wanted
    }

    /// Makes it anew.
    ///
    /// # Errors
    /// If Python or pip fails.
    pub fn provide(&self) -> Result<()> {
        sh::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&self.dir))?;
        let mut pip = Command::new(self.dir.join("bin/pip"));
        sh::run(pip.args(["install", "--quiet", "--requirement"]).arg(&self.requirements))?;
        fs::copy(&self.requirements, self.stamp())
            .map(drop)
            .with_context(|| format!("cannot write {}", self.stamp().display()))
    }

    /// Written when all else has succeeded.
    fn stamp(&self) -> PathBuf {
        self.dir.join("requirements.txt")
    }
}
