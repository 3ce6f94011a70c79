//! The programs in C that the integration tests run. Each test compiles its own, unless they are there already.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{paths, sh};

/// The variable that tells the tests where they lie compiled.
pub const COMPILED: &str = "LLB_COMPILED_FIXTURES";

/// This machine's compiler.
const CC: &str = "cc";

/// Compiles them into a directory, as the tests would do it.
pub fn compile(dir: &Path) -> Result<Vec<PathBuf>> {
    compile_by(CC, dir)
}

/// The same by another compiler, for other processors.
pub fn compile_by(compiler: &str, dir: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let fixtures = fs::read_dir(paths::fixtures()).context("cannot read the fixtures")?;
    let sources = fixtures.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_c(path));
    sources.map(|source| compile_source(compiler, &source, dir)).collect()
}

fn is_c(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("c"))
}

/// Compiles one of them.
pub fn compile_one(source: &Path, dir: &Path) -> Result<PathBuf> {
    compile_source(CC, source, dir)
}

fn compile_source(compiler: &str, source: &Path, dir: &Path) -> Result<PathBuf> {
    let program = dir.join(source.file_stem().context("a source has a name")?);
    sh::output(Command::new(compiler).args(["-static", "-O1", "-Wall", "-Werror", "-o"]).args([&program, source]))?;
    Ok(program)
}
