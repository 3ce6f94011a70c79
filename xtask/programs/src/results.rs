//! The last outcome of each program, in a file of its own: a page can be made of several runs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{program::Program, trials::Outcome};

fn path(dir: &Path, program: &Program) -> PathBuf {
    dir.join(program.slug()).with_extension("json")
}

pub(crate) fn save(dir: &Path, program: &Program, outcome: &Outcome) -> Result<()> {
    let path = path(dir, program);
    fs::write(&path, serde_json::to_vec_pretty(outcome)?).with_context(|| format!("cannot write {}", path.display()))
}

/// None where it has never been driven.
pub(crate) fn load(dir: &Path, program: &Program) -> Result<Option<Outcome>> {
    match fs::read(path(dir, program)) {
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("cannot read an earlier result"),
    }
}
