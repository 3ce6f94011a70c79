//! Whether the oldest compiler that llb is for compiles what is published.

use std::process::Command;

use anyhow::{Context, Result};
use llb_kit::{paths, sh};

/// The workspace's `rust-version`.
const OLDEST: &str = env!("CARGO_PKG_RUST_VERSION");

/// Where this machine's compiler is of that version it compiles all else, too: then there is nothing to do.
pub(crate) fn check() -> Result<()> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    if is_of(&sh::output(Command::new(rustc).arg("--version"))?, OLDEST) {
        println!("this compiler is of Rust {OLDEST}, the oldest that llb is for");
        return Ok(());
    }
    let mut check = Command::new("rustup");
    check.args(["run", OLDEST, "cargo", "check", "--locked", "--all-features", "--package", "llb-common"]);
    check.args(["--package", "llb-userspace"]).current_dir(paths::root());
    // Apart from what the other compiler has made, which would be made anew.
    check.env("CARGO_TARGET_DIR", paths::root().join("target/oldest"));
    sh::run(&mut check)
        .with_context(|| format!("not with Rust {OLDEST}; if it is missing: rustup toolchain install {OLDEST}"))
}

/// Whether `rustc --version` names a release of this series, which has two numbers.
fn is_of(said: &str, series: &str) -> bool {
    let version = said.split_whitespace().nth(1).unwrap_or_default();
    version.strip_prefix(series).is_some_and(|rest| rest.starts_with('.')) && !version.contains('-')
}

#[cfg(test)]
mod tests {
    use super::is_of;

    #[test]
    fn only_a_release_of_the_series_is_of_it() {
        assert!(is_of("rustc 1.95.0 (59807616e 2026-04-14)\n", "1.95"));
        for other in ["rustc 1.96.0 (f00 2026-05-28)", "rustc 1.950.0 (f00)", "rustc 1.95.0-nightly (f00)", "what"] {
            assert!(!is_of(other, "1.95"), "{other}");
        }
    }
}
