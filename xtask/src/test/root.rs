//! Integration tests load eBPF programs and make cgroups and network namespaces: they need root, building them does not.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::sh;

/// What cargo must be told so that it runs the tests it has built as root: nothing if it already is.
pub(crate) fn runner() -> Result<Option<(String, &'static str)>> {
    if sh::is_root()? {
        return Ok(None);
    }
    if sh::find("sudo").is_none() {
        bail!("they need root and there is no sudo here; run `cargo xtask test` as root");
    }
    let said = sh::output(Command::new("rustc").args(["--print", "host-tuple"]))?;
    Ok(Some((runner_variable(said.trim()).context("rustc names no host")?, "sudo -E")))
}

/// Cargo's variable for the program that runs what was built for `host`.
fn runner_variable(host: &str) -> Option<String> {
    let host = host.to_uppercase().replace(['-', '.'], "_");
    (!host.is_empty()).then(|| format!("CARGO_TARGET_{host}_RUNNER"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runners_variable_is_cargos() {
        let variable = runner_variable("x86_64-unknown-linux-gnu");
        assert_eq!(variable.as_deref(), Some("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER"));
        assert_eq!(runner_variable(""), None);
    }
}
