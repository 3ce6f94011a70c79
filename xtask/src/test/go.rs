//! The Go toolchain for the workers in Go.
//!
//! Debian's is older than Go 1.24 in some of its releases, and so does not listen by Multipath TCP unless it is told to, which is
//! what matters to llb. So it is one of a known version, from the package index that pip knows, into target/.

use anyhow::{Context, Result};

use super::pip;
use crate::paths;

/// The package with its version and hash, as pip reads them.
const REQUIREMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/test/go.txt");

/// Installs it, unless it is there.
pub(crate) fn provide() -> Result<()> {
    let toolchain = paths::go().join("toolchain");
    pip::provide(REQUIREMENT, &toolchain).context("cannot install Go, which the worker in Go is built by")
}
