//! `cargo xtask vm`: the kernels that the README promises, each booted in a virtual machine with llb and its tests in it.
//!
//! A test on this machine's kernel says nothing of an older one. So each kernel boots with an initramfs of llb, the tests
//! to which the kernel makes a difference, and what those run; `init.sh` runs the doctor there, a fleet, and the tests;
//! the verdict is read from the console. All is emulated (TCG): slow, but it needs no /dev/kvm, which a virtual machine
//! of a CI seldom has.

mod copy;
mod cpio;
mod debian;
mod initramfs;
mod kernels;
mod machine;
mod qemu;
mod service;
mod suites;
mod verdict;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};

use self::kernels::{Age, Kernel};
use self::machine::Machine;
use self::qemu::Purpose;
use self::suites::{SUITES, Suite};
use self::verdict::Trial;
use llb_kit::clock::now;
use llb_kit::{needs, paths};

/// The oldest kernel that llb is for, and the next one that a Debian came with, which the tests run on. Of the former the
/// oldest build that there is: it lacks what has been mended since, as do machines that are seldom updated. On the newest
/// one llb is only tried. These are for x86-64; for aarch64 there is one, on which some of the tests run.
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
    /// Only machines of this kind
    #[arg(long, value_enum)]
    machine: Option<Machine>,
    /// Only this suite of tests, such as steering; repeatable
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
    let suites: Vec<_> = if args.tests.is_empty() { SUITES.iter().collect() } else { args.tests.clone() };
    let is_wanted = |kernel: &Kernel| args.kernel.as_ref().is_none_or(|wanted| kernel.is(wanted));
    let mut subjects = Vec::new();
    for machine in Machine::value_variants() {
        if args.machine.is_none_or(|wanted| wanted == *machine) {
            subjects.extend(provide(*machine, &suites, &is_wanted, &dir)?);
        }
    }
    ensure!(!subjects.is_empty(), "there is no such kernel, or none that these tests run on");

    let passed: usize = thread::scope(|scope| {
        let machines: Vec<_> =
            subjects.iter().map(|subject| scope.spawn(move || usize::from(is_fit(subject)))).collect();
        machines.into_iter().map(|machine| machine.join().unwrap_or(0)).sum()
    });
    let failed = subjects.len() - passed;
    println!("{passed} kernels passed, {failed} failed");
    ensure!(failed == 0, "llb does not work on every kernel that it is for; what the machine said is above");
    Ok(())
}

/// A kernel that llb is tried on.
struct Subject {
    machine: Machine,
    kernel: Kernel,
    initramfs: PathBuf,
    /// None where llb is only tried.
    suites: Vec<&'static Suite>,
}

/// The wanted kernels for a machine, and what they boot with.
fn provide(
    machine: Machine,
    suites: &[&'static Suite],
    is_wanted: &dyn Fn(&Kernel) -> bool,
    dir: &Path,
) -> Result<Vec<Subject>> {
    let suites = suites::on(machine, suites);
    if suites.is_empty() {
        return Ok(Vec::new());
    }
    let (mut kernels, tree) = match machine {
        Machine::X86 => {
            let provide =
                |(series, age, tested): &(&str, Age, bool)| Ok((kernels::provide(series, *age, dir)?, *tested));
            (KERNELS.iter().map(provide).collect::<Result<Vec<_>>>()?, PathBuf::new())
        }
        Machine::Arm => {
            let tree = debian::provide(dir)?;
            (vec![(debian::kernel(&tree)?, true)], tree)
        }
    };
    kernels.retain(|(kernel, _)| is_wanted(kernel));
    if kernels.is_empty() {
        return Ok(Vec::new());
    }
    let initramfs = match machine {
        Machine::X86 => initramfs::make(dir)?,
        Machine::Arm => initramfs::make_for_arm(dir, &tree)?,
    };
    let subject = |(kernel, tested): (Kernel, bool)| {
        let suites = if tested { suites.clone() } else { Vec::new() };
        Subject { machine, kernel, initramfs: initramfs.clone(), suites }
    };
    Ok(kernels.into_iter().map(subject).collect())
}

/// What worked on a kernel.
struct Seen {
    trial: Trial,
    /// What each file of tests said at its end.
    suites: Vec<String>,
}

/// Tries llb on a kernel, and says what came of it.
fn is_fit(subject: &Subject) -> bool {
    let kernel = &subject.kernel;
    println!("booting Linux {}", kernel.release);
    let started = now();
    let tried = attempt(subject);
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

fn attempt(subject: &Subject) -> Result<Seen> {
    let Subject { machine, kernel, initramfs, suites } = subject;
    let boot = |purpose: &Purpose<'_>, log: &str| {
        let log = paths::vm().join(format!("{}.{log}.log", kernel.release));
        qemu::boot(*machine, purpose, &kernel.image, initramfs, &log)
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
