//! A directory for a program to run in, with the applications and its files in it.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};

use crate::{
    program::Program,
    provide::{APPS, Installed},
};

pub(crate) struct Stage {
    pub(crate) dir: PathBuf,
    /// The program's command, for a shell in this directory.
    pub(crate) command: String,
}

impl Stage {
    /// Makes the directory anew.
    pub(crate) fn lay(program: &Program, command: &str, installed: &Installed) -> Result<Self> {
        let dir = dir(program);
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        // Copies: some programs give up root, and may not read the sources.
        for entry in fs::read_dir(APPS)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                fs::copy(entry.path(), dir.join(entry.file_name()))?;
            }
        }
        let fill = |text: &str| text.replace("{stage}", &dir.display().to_string());
        for (name, text) in program.files {
            fs::write(dir.join(name), fill(text))?;
        }
        let command = fill(&installed.fill(command));
        Ok(Self { dir, command })
    }

    /// Removes the directory of a program.
    pub(crate) fn clear(program: &Program) {
        let _ = fs::remove_dir_all(dir(program));
    }
}

fn dir(program: &Program) -> PathBuf {
    std::env::temp_dir().join(format!("llb-programs-{}-{}", std::process::id(), program.slug()))
}
