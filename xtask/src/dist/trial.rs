//! Whether the packages install, work and leave nothing behind.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, bail, ensure};

use super::{debian::Root, directory, pack::Packages, target::Machine};
use llb_kit::{apt, sh};

pub(crate) fn run(machine: Machine, packages: &Packages) -> Result<()> {
    let dir = packages.deb.parent().context("packages are in a directory")?;
    sh::output(Command::new("sha256sum").args(["--check", "--quiet", "--strict", "SHA256SUMS"]).current_dir(dir))?;
    let sbom = fs::read_to_string(&packages.sbom).context("cannot read the SBOM")?;
    for word in ["\"bomFormat\": \"CycloneDX\"", "\"name\": \"aya\"", "\"name\": \"ratatui\""] {
        ensure!(sbom.contains(word), "{} lacks {word}", packages.sbom.display());
    }
    match machine {
        Machine::X86 => in_a_system(packages)?,
        Machine::Arm => emulated(&packages.tar)?,
    }
    println!("ok     the packages for {}", machine.name());
    Ok(())
}

/// Installs, tries and removes each of them.
fn in_a_system(packages: &Packages) -> Result<()> {
    if !sh::is_root()? {
        bail!("installing packages in a system of their own needs root; run this as root");
    }
    let root = Root::make()?;
    let files = [&packages.deb, &packages.rpm, &packages.tar];
    for file in files {
        root.take(file)?;
    }
    let names = files.map(|file| file.file_name().unwrap_or_default().to_string_lossy().into_owned());
    let mut words: Vec<&str> = names.iter().map(String::as_str).collect();
    words.push(env!("CARGO_PKG_VERSION"));
    root.run(include_str!("check.sh"), &words)
}

/// Only whether it starts: the emulator of user programs has no eBPF.
fn emulated(tar: &Path) -> Result<()> {
    apt::install(&["qemu-user-static"])?;
    let dir = directory().join("emulated");
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    sh::run(Command::new("tar").args(["--strip-components=1", "-xzf"]).arg(tar).arg("-C").arg(&dir))?;
    let said = sh::output(Command::new("qemu-aarch64-static").arg(dir.join("bin/llb")).arg("--version"))?;
    ensure!(said.trim() == concat!("llb ", env!("CARGO_PKG_VERSION")), "it says {said:?} for its version");
    sh::output(Command::new("qemu-aarch64-static").arg(dir.join("bin/llb")).args(["check", "-n", "2", "--", "true"]))?;
    Ok(())
}
