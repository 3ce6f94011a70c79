//! `cargo xtask vm`: the kernels that the README promises, each booted in a virtual machine with llb and its tests in it.
//!
//! A test on this machine's kernel says nothing of an older one. So each kernel boots with an initramfs of llb, the tests
//! to which the kernel makes a difference, and what those run; `init.sh` runs the doctor there, a fleet, and the tests;
//! the verdict is read from the console. All is emulated (TCG): slow, but it needs no /dev/kvm, which a virtual machine
//! of a CI seldom has.

mod cpio;
mod initramfs;
mod kernels;
mod qemu;
mod service;
mod suites;
mod verdict;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use self::kernels::{Age, Kernel};
use self::qemu::Purpose;
use self::suites::{SUITES, Suite};
use self::verdict::Trial;
use llb_kit::clock::now;
use llb_kit::{needs, paths};

/// The oldest kernel that llb is for, and the next one that a Debian came with, which the tests run on. Of the former the
/// oldest build that there is: it lacks what has been mended since, as do machines that are seldom updated. On the newest
/// one llb is only tried.
const KERNELS: [(&str, Age, bool); 3] =
    [("6.1", Age::Oldest, true), ("6.12", Age::Newest, true), ("6.1", Age::Newest, false)];

/// The first word is the chore's.
#[derive(Parser)]
#[command(name = "cargo xtask", about = "What tries llb on other kernels")]
enum Chore {
    /// Boot the oldest kernels that llb is for in virtual machines, and run it and its tests there
    Vm(VmArgs),
}

/// What of it is to be done; everything unless it is said.
#[derive(clap::Args)]
struct VmArgs {
    /// Only kernels of this release or series, such as 6.1
    #[arg(long)]
    kernel: Option<String>,
    /// Only this file of tests, such as steering; repeatable
    #[arg(long = "test", value_name = "NAME", value_parser = suites::find)]
    tests: Vec<&'static Suite>,
}

fn main() -> ExitCode {
    let Chore::Vm(args) = Chore::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("llb-vm: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Boots the kernels, all at once, and tries llb on each; fails if one of them refuses anything.
fn run(args: &VmArgs) -> Result<()> {
    needs::VM.check()?;
    let dir = paths::vm();
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let provide = |(series, age, tested): &(&str, Age, bool)| Ok((kernels::provide(series, *age, &dir)?, *tested));
    let mut kernels = KERNELS.iter().map(provide).collect::<Result<Vec<_>>>()?;
    if let Some(wanted) = &args.kernel {
        kernels.retain(|(kernel, _)| kernel.is(wanted));
        ensure!(!kernels.is_empty(), "none of the kernels is a {wanted}");
    }
    let suites: Vec<_> = if args.tests.is_empty() { SUITES.iter().collect() } else { args.tests.clone() };
    let initramfs = initramfs::make(&dir)?;

    let passed: usize = thread::scope(|scope| {
        let machines: Vec<_> = kernels
            .iter()
            .map(|(kernel, tested)| {
                let suites = if *tested { suites.as_slice() } else { &[] };
                let initramfs = &initramfs;
                scope.spawn(move || usize::from(is_fit(kernel, suites, initramfs)))
            })
            .collect();
        machines.into_iter().map(|machine| machine.join().unwrap_or(0)).sum()
    });
    let failed = kernels.len() - passed;
    println!("{passed} kernels passed, {failed} failed");
    ensure!(failed == 0, "llb does not work on every kernel that it is for; what the machine said is above");
    Ok(())
}

/// What worked on a kernel.
struct Seen {
    trial: Trial,
    /// What each file of tests said at its end.
    suites: Vec<String>,
}

/// Tries llb on a kernel, and says what came of it.
fn is_fit(kernel: &Kernel, suites: &[&'static Suite], initramfs: &Path) -> bool {
    println!("booting Linux {}", kernel.release);
    let started = now();
    let tried = attempt(kernel, suites, initramfs);
    let took = (now() - started).as_secs_f64();
    match &tried {
        Ok(Seen { trial, suites }) => {
            let suites: String = suites.iter().map(|suite| format!("\n      {suite}")).collect();
            println!("ok     {took:7.1} s  Linux {}: {trial}{suites}", kernel.release);
        }
        Err(error) => println!("FAILED {took:7.1} s  Linux {}: {error:#}", kernel.release),
    }
    tried.is_ok()
}

fn attempt(kernel: &Kernel, suites: &[&'static Suite], initramfs: &Path) -> Result<Seen> {
    let boot = |purpose: &Purpose<'_>, log: &str| {
        let log = paths::vm().join(format!("{}.{log}.log", kernel.release));
        qemu::boot(purpose, &kernel.image, initramfs, &log)
    };
    let console = boot(&Purpose::Trial, "trial")?;
    let trial = verdict::judge(&console, &kernel.release).inspect_err(|_| println!("{console}"))?;
    if suites.is_empty() {
        // Whatever kernel it is: systemd makes the difference.
        let console = boot(&Purpose::Service, "service")?;
        let units = service::judge(&console).inspect_err(|_| println!("{console}"))?;
        return Ok(Seen { trial, suites: vec![units] });
    }
    let console = boot(&Purpose::Tests(suites), "tests")?;
    let suites = verdict::judge_tests(&console, suites).inspect_err(|_| println!("{console}"))?;
    Ok(Seen { trial, suites })
}
