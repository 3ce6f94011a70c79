//! Building for musl, and so for other processors: the linker that Rust brings links for all of them, and musl comes with the
//! target.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::sh;

/// aarch64.
pub const ARM: &str = "aarch64-unknown-linux-musl";

/// x86-64.
pub const X86: &str = "x86_64-unknown-linux-musl";

/// Whether Rust's standard library for a target is here.
///
/// # Errors
/// If rustc does not say.
pub fn has_std(target: &str) -> Result<bool> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let library = Command::new(rustc).args(["--print", "target-libdir", "--target", target]).output()?;
    Ok(PathBuf::from(String::from_utf8_lossy(&library.stdout).trim()).is_dir())
}

/// Has rustup install it, unless it is here.
///
/// # Errors
/// If rustup is not here, or fails.
pub fn provide_std(target: &str) -> Result<()> {
    if has_std(target)? {
        return Ok(());
    }
    sh::run(Command::new("rustup").args(["target", "add", target]))
        .with_context(|| format!("there is no standard library for {target} here"))
}

/// Has a call of cargo build for a target.
pub fn build_for<'a>(cargo: &'a mut Command, target: &str) -> &'a mut Command {
    let linker = format!("CARGO_TARGET_{}_LINKER", target.to_uppercase().replace('-', "_"));
    cargo.args(["--target", target]).env(linker, "rust-lld")
}
