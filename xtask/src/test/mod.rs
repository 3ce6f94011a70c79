//! `cargo xtask test`: everything that must hold before a change goes in, in one command.
//!
//! A test that does not run has not passed: what the tests need is installed or named, root is had or asked for, and a
//! runner that says "ignored", or that ran nothing, fails the step.

mod aioquic;
pub(crate) mod go;
mod integration;
pub(crate) mod needs;
mod pip;
pub(crate) mod results;
mod root;
#[cfg(test)]
mod worker_alone;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use self::integration::BpfFs;
use self::results::{Rule, Suite};
use crate::clock::now;
use crate::{paths, sh};

/// The integration tests that say whether a compiled object works on this kernel.
const KERNEL_TESTS: [&str; 5] = ["migration", "programs", "scale", "steering", "tracking"];

/// One call of cargo.
struct Step {
    name: &'static str,
    args: &'static [&'static str],
    /// What its runners' closing lines must say; none for a step that runs no tests.
    rule: Option<Rule>,
}

/// It must do without the master's side; `worker_alone` looks at what it is built from.
const WORKER_ALONE: [&str; 9] =
    ["clippy", "--package", "llb-userspace", "--no-default-features", "--features", "worker", "--", "-D", "warnings"];

/// As who takes it sees it. Before the whole, which takes its place in target/doc.
const DOCUMENTATION_OF_WORKER: [&str; 7] =
    ["doc", "--package", "llb-userspace", "--no-default-features", "--features", "worker", "--no-deps"];

/// All that is built is built with the same features, or cargo builds much of it twice.
const STEPS: [Step; 10] = [
    Step::lint("format", &["fmt", "--all", "--check"]),
    Step::lint("format of llb-ebpf", &["fmt", "--manifest-path", "llb-ebpf/Cargo.toml", "--check"]),
    Step::lint("format of fuzz", &["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]),
    Step::lint("clippy", &["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"]),
    Step::lint("clippy of xtask without all chores", &["clippy", "--package", "xtask", "--", "-D", "warnings"]),
    Step::lint("a worker's side alone", &WORKER_ALONE),
    Step::lint("documentation of a worker's side alone", &DOCUMENTATION_OF_WORKER),
    Step::lint("documentation", &["doc", "--workspace", "--all-features", "--no-deps"]),
    Step::tests(
        "unit and property tests",
        &["test", "--workspace", "--all-features", "--lib", "--bins", "--no-fail-fast"],
    ),
    Step::tests("documentation tests", &["test", "--workspace", "--all-features", "--doc", "--no-fail-fast"]),
];

/// Builds the integration tests, and the examples, which they run.
const INTEGRATION_TESTS: [&str; 7] = ["test", "--workspace", "--all-features", "--test", "*", "--examples", "--no-run"];

impl Step {
    const fn lint(name: &'static str, args: &'static [&'static str]) -> Self {
        Self { name, args, rule: None }
    }

    const fn tests(name: &'static str, args: &'static [&'static str]) -> Self {
        Self { name, args, rule: Some(Rule::SomeTest) }
    }
}

/// What of it is to be done beside the usual.
#[derive(Debug, clap::Args)]
pub(crate) struct TestArgs {
    /// Run those integration tests that it concerns once more, where no BPF file system is mounted
    #[arg(long)]
    also_without_bpffs: bool,
}

/// Steps that have passed: name, time and what ran.
type Done = Vec<(&'static str, Duration, Vec<Suite>)>;

/// Runs every step; stops at the first that fails.
pub(crate) fn run(args: &TestArgs) -> Result<()> {
    needs::provide().context("the integration tests cannot all run")?;
    go::provide().context("the integration tests cannot all run")?;
    aioquic::provide().context("the integration tests cannot all run")?;
    root::prefix().context("the integration tests cannot run")?;

    let mut done = Vec::new();
    for step in &STEPS {
        pass(&mut done, step.name, || finish(&mut cargo(step.args), step.rule))?;
    }
    let mut runners = Vec::new();
    pass(&mut done, "build of the integration tests", || {
        runners = integration::build(&mut cargo(&INTEGRATION_TESTS))?;
        Ok(Vec::new())
    })?;
    pass(&mut done, "integration tests", || integration::run(&runners, BpfFs::Mounted))?;
    if args.also_without_bpffs {
        let of_pins = integration::of_pins(&runners);
        pass(&mut done, "integration tests without a BPF file system", || integration::run(&of_pins, BpfFs::Absent))?;
    }
    print!("{}", summary(&done));
    Ok(())
}

fn pass(done: &mut Done, name: &'static str, step: impl FnOnce() -> Result<Vec<Suite>>) -> Result<()> {
    println!("\n== {name}");
    let started = now();
    let suites = step().context(name)?;
    let took = now() - started;
    println!("{}", closing_line(name, took));
    done.push((name, took, suites));
    Ok(())
}

/// Runs the kernel's tests with another object in the place of the committed one.
pub(crate) fn kernel_tests_on(object: &Path) -> Result<()> {
    needs::provide().context("the kernel tests cannot run")?;
    let mut cargo = cargo(&["test", "--package", "llb-userspace", "--no-run"]);
    for target in KERNEL_TESTS {
        cargo.args(["--test", target]);
    }
    let runners = integration::build(cargo.env("LLB_EBPF_OBJECT", object))?;
    integration::run(&runners, BpfFs::Mounted).map(drop)
}

fn cargo(args: &[&str]) -> Command {
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

fn finish(cargo: &mut Command, rule: Option<Rule>) -> Result<Vec<Suite>> {
    let Some(rule) = rule else {
        return sh::run(cargo).map(|()| Vec::new());
    };
    let (heard, verdict) = sh::tee(cargo)?;
    verdict?;
    let suites = results::read(&heard);
    rule.judge(&suites)?;
    Ok(suites)
}

fn closing_line(name: &str, took: Duration) -> String {
    format!("ok {:7.1} s  {name}", took.as_secs_f64())
}

fn summary(done: &[(&str, Duration, Vec<Suite>)]) -> String {
    let mut text = String::from("\n== all steps\n");
    for (name, took, suites) in done {
        text += &format!("{}\n", closing_line(name, *took));
        for suite in suites {
            text += &format!("      {}\n", suite.name);
            text.extend(suite.closing.iter().map(|line| format!("      {line}\n")));
        }
    }
    let passed: u64 = done.iter().flat_map(|(.., suites)| suites).map(|suite| suite.tally.passed).sum();
    let took: Duration = done.iter().map(|(_, took, _)| *took).sum();
    text += &format!("{passed} tests passed, none was skipped, in {:.0} s\n", took.as_secs_f64());
    text
}
