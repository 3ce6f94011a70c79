//! `cargo xtask lint`: formats, clippy, the documentation, and the oldest compiler. Needs no root, and nothing but the toolchain.

use anyhow::{Context, Result};
use llb_kit::{clock::now, sh};

use crate::{msrv, step};

/// A worker's side must do without the master's; a test in `test/worker_alone.rs` looks at what it is built from.
const WORKER_ALONE: [&str; 9] =
    ["clippy", "--package", "llb-userspace", "--no-default-features", "--features", "worker", "--", "-D", "warnings"];

/// As who takes it sees it. Before the whole, which takes its place in target/doc.
const DOCUMENTATION_OF_WORKER: [&str; 7] =
    ["doc", "--package", "llb-userspace", "--no-default-features", "--features", "worker", "--no-deps"];

/// Names, and cargo's arguments.
const STEPS: [(&str, &[&str]); 7] = [
    ("format", &["fmt", "--all", "--check"]),
    ("format of llb-ebpf", &["fmt", "--manifest-path", "llb-ebpf/Cargo.toml", "--check"]),
    ("format of fuzz", &["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]),
    ("clippy", &["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"]),
    ("a worker's side alone", &WORKER_ALONE),
    ("documentation of a worker's side alone", &DOCUMENTATION_OF_WORKER),
    ("documentation", &["doc", "--workspace", "--all-features", "--no-deps"]),
];

/// Runs every step; stops at the first that fails.
pub(crate) fn run() -> Result<()> {
    for (name, args) in STEPS {
        println!("\n== {name}");
        let started = now();
        sh::run(&mut step::cargo(args)).context(name)?;
        println!("{}", step::closing_line(name, started.elapsed()));
    }
    println!("\n== the oldest compiler");
    msrv::check()
}
