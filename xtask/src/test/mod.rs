//! `cargo xtask test`: every test, in one command.
//!
//! A test that does not run has not passed: what is missing is named, or installed if that is asked for, root is had or asked
//! for, and a runner that says "ignored", or that ran nothing, fails the step.

mod integration;
mod suites;
#[cfg(test)]
mod worker_alone;

use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use llb_kit::clock::now;
use llb_kit::results::{self, Suite};
use llb_kit::{needs, root, sh};

use self::integration::BpfFs;
use crate::setup;
use crate::step::{cargo, closing_line};

/// The suites of integration tests that say whether a compiled object works on this kernel.
const KERNEL_TESTS: [&str; 5] = ["migration", "programs", "scale", "steering", "tracking"];

/// The error of socket(2) where the kernel lacks an address family (errno(3)).
const EAFNOSUPPORT: i32 = 97;

/// Tests that need no root. All is built with the same features, or cargo builds much of it twice.
const STEPS: [(&str, &[&str]); 2] = [
    ("unit and property tests", &["test", "--workspace", "--all-features", "--lib", "--bins", "--no-fail-fast"]),
    ("documentation tests", &["test", "--workspace", "--all-features", "--doc", "--no-fail-fast"]),
];

/// Builds the integration tests. The examples that they run they build themselves, from the same parts.
const INTEGRATION_TESTS: [&str; 6] = ["test", "--workspace", "--all-features", "--test", "integration", "--no-run"];

/// What of it is to be done beside the usual.
#[derive(Debug, clap::Args)]
pub(crate) struct TestArgs {
    /// Install first what the tests need and this machine lacks
    #[arg(long)]
    setup: bool,
    /// Run those integration tests that it concerns once more, where no BPF file system is mounted
    #[arg(long)]
    also_without_bpffs: bool,
}

/// Steps that have passed: name, time and what ran.
type Done = Vec<(&'static str, Duration, Vec<Suite>)>;

/// Runs every step; stops at the first that fails.
pub(crate) fn run(args: &TestArgs) -> Result<()> {
    if args.setup {
        setup::test()?;
    }
    needs::TEST.check().context("the tests cannot all run")?;
    root::prefix().context("the integration tests cannot run")?;
    check_ipv6()?;

    let mut done = Vec::new();
    for (name, args) in STEPS {
        pass(&mut done, name, || finish(&mut cargo(args)))?;
    }
    let mut program = None;
    pass(&mut done, "build of the integration tests", || {
        program = Some(integration::build(&mut cargo(&INTEGRATION_TESTS))?);
        Ok(Vec::new())
    })?;
    let program = program.context("a step that has passed")?;
    pass(&mut done, "integration tests", || integration::run(&program, &program.modules, BpfFs::Mounted))?;
    if args.also_without_bpffs {
        let of_pins = suites::of_pins(&program.modules)?;
        pass(&mut done, "integration tests without a BPF file system", || {
            integration::run(&program, &of_pins, BpfFs::Absent)
        })?;
    }
    print!("{}", summary(&done));
    Ok(())
}

/// Some tests are of IPv6. Where it is only switched off they switch it on in their own network namespaces.
fn check_ipv6() -> Result<()> {
    match UdpSocket::bind("[::]:0") {
        Err(error) if error.raw_os_error() == Some(EAFNOSUPPORT) => {
            bail!("the tests cannot all run: this kernel has no IPv6; boot it without ipv6.disable=1")
        }
        _ => Ok(()),
    }
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
    needs::TEST.check().context("the kernel tests cannot run")?;
    let mut cargo =
        cargo(&["test", "--package", "llb-userspace", "--all-features", "--test", "integration", "--no-run"]);
    let program = integration::build(cargo.env("LLB_EBPF_OBJECT", object))?;
    let modules = suites::named(&program.modules, &KERNEL_TESTS)?;
    integration::run(&program, &modules, BpfFs::Mounted).map(drop)
}

fn finish(cargo: &mut Command) -> Result<Vec<Suite>> {
    let (heard, verdict) = sh::tee(cargo)?;
    verdict?;
    let suites = results::read(&heard);
    results::check_all(&suites)?;
    Ok(suites)
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
