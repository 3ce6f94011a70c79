//! A QUIC server and its client in Python, which Debian has in some of its releases only.

use anyhow::{Context, Result};

use super::pip;
use crate::paths;

const REQUIREMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/test/aioquic.txt");

/// Installs it, unless it is there.
pub(super) fn provide() -> Result<()> {
    pip::provide(REQUIREMENT, &paths::aioquic()).context("cannot install aioquic, the QUIC server of a test")
}
