//! What needs root, though building it does not.

use anyhow::{Result, bail};

use crate::sh;

/// The words before a command that make it root's: none if we are.
///
/// # Errors
/// If there is no way to become root.
pub fn prefix() -> Result<Vec<&'static str>> {
    if sh::is_root()? {
        return Ok(Vec::new());
    }
    if sh::find("sudo").is_none() {
        bail!("this needs root, and there is no sudo here; run it as root");
    }
    Ok(vec!["sudo", "-E"])
}
