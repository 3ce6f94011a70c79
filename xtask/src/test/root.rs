//! Integration tests load eBPF programs and make cgroups and network namespaces: they need root, building them does not.

use anyhow::{Result, bail};

use crate::sh;

/// The words before a command that make it root's: none if we are.
pub(crate) fn prefix() -> Result<Vec<&'static str>> {
    if sh::is_root()? {
        return Ok(Vec::new());
    }
    if sh::find("sudo").is_none() {
        bail!("they need root and there is no sudo here; run `cargo xtask test` as root");
    }
    Ok(vec!["sudo", "-E"])
}
