//! One step of a chore that has several.

use std::{process::Command, time::Duration};

use llb_kit::{paths, sh};

/// A call of cargo, whose output is read and whose warnings fail.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut cargo = Command::new(sh::cargo());
    cargo
        .current_dir(paths::root())
        .args(args)
        // Colours would stand between us and the runners' closing lines.
        .env("CARGO_TERM_COLOR", "never")
        // rustdoc's warnings fail as clippy's do.
        .env("RUSTDOCFLAGS", "-D warnings");
    cargo
}

/// What is said of a step that has passed.
pub(crate) fn closing_line(name: &str, took: Duration) -> String {
    format!("ok {:7.1} s  {name}", took.as_secs_f64())
}
