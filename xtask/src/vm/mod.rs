//! `cargo xtask vm`: the kernels that the README promises, each booted in a virtual machine with llb in it.
//!
//! A test on this machine's kernel says nothing of an older verifier. So each kernel boots with an initramfs of llb,
//! its libraries and busybox; `init.sh` runs the doctor there, and a fleet; the verdict is read from the console.
//! All is emulated (TCG): slow, but it needs no /dev/kvm, which a virtual machine of a CI seldom has.

mod cpio;
mod initramfs;
mod kernels;
mod qemu;
mod verdict;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use self::kernels::Kernel;
use self::verdict::Seen;
use crate::clock::now;
use crate::{apt, paths, sh};

/// The oldest kernel that llb is for, and the next one that a Debian came with.
const SERIES: [&str; 2] = ["6.1", "6.12"];

/// Boots each kernel and tries llb on it; fails if one of them refuses anything.
pub(crate) fn run() -> Result<()> {
    if sh::find(qemu::PROGRAM).is_none() {
        apt::install(&[qemu::PACKAGE])?;
    }
    let dir = paths::vm();
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let kernels = SERIES.iter().map(|series| kernels::provide(series, &dir)).collect::<Result<Vec<_>>>()?;
    let initramfs = initramfs::make(&dir)?;

    let mut failed = 0;
    for kernel in &kernels {
        println!("booting Linux {}", kernel.release);
        let started = now();
        let tried = attempt(kernel, &initramfs);
        let took = (now() - started).as_secs_f64();
        match tried {
            Ok(seen) => println!("ok     {took:7.1} s  Linux {}: {seen}", kernel.release),
            Err(error) => {
                failed += 1;
                println!("FAILED {took:7.1} s  Linux {}: {error:#}", kernel.release);
            }
        }
    }
    println!("{} passed, {failed} failed", kernels.len() - failed);
    ensure!(failed == 0, "llb does not work on every kernel that it is for; what the machine said is above");
    Ok(())
}

fn attempt(kernel: &Kernel, initramfs: &Path) -> Result<Seen> {
    let console = qemu::boot(&kernel.image, initramfs)?;
    verdict::judge(&console, &kernel.release).inspect_err(|_| println!("{console}"))
}
