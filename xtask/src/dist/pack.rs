//! Packages of a staged tree.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::{
    layout::{self, Stage},
    target::Machine,
    tools::Tools,
};
use llb_kit::{paths, sh};

const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(crate) struct Packages {
    pub deb: PathBuf,
    pub rpm: PathBuf,
    pub tar: PathBuf,
    pub sbom: PathBuf,
}

impl Packages {
    pub(crate) fn make(machine: Machine, stage: &Stage, tools: &Tools, out: &Path) -> Result<Self> {
        let name = format!("llb-{VERSION}-{}", machine.name());
        let packages = Self {
            deb: deb(machine, tools, out)?,
            rpm: out.join(format!("llb-{VERSION}-1.{}.rpm", machine.name())),
            tar: out.join(format!("{name}-linux.tar.gz")),
            sbom: out.join(format!("{name}.cdx.json")),
        };
        rpm(machine, tools, &packages.rpm)?;
        sbom(machine, tools, &packages.sbom)?;
        layout::by_hand(stage)?;
        tar(stage, &name, &packages.tar)?;
        Ok(packages)
    }
}

/// The time of the commit, seconds of the epoch: that of all files, so that who makes the packages again gets the same.
fn time() -> Result<String> {
    let mut git = Command::new("git");
    let time = sh::output(git.args(["log", "-1", "--format=%ct"]).current_dir(paths::root()))?;
    Ok(time.trim().to_owned())
}

fn command(program: impl AsRef<OsStr>) -> Result<Command> {
    let mut command = Command::new(program);
    command.current_dir(paths::root()).env("SOURCE_DATE_EPOCH", time()?);
    Ok(command)
}

fn deb(machine: Machine, tools: &Tools, out: &Path) -> Result<PathBuf> {
    let mut deb = command(&tools.deb)?;
    deb.args(["deb", "--quiet", "--no-build", "--no-strip", "--locked", "--package", "llb-userspace"]);
    let made = sh::output(deb.args(["--target", machine.triple(), "--output"]).arg(out))?;
    Ok(made.trim().into())
}

fn rpm(machine: Machine, tools: &Tools, to: &Path) -> Result<()> {
    let mut rpm = command(&tools.rpm)?;
    rpm.args(["generate-rpm", "--package", "llb-userspace", "--payload-compress", "zstd", "--arch", machine.name()]);
    sh::run(rpm.arg("--output").arg(to))
}

/// What is in the binary, in CycloneDX' format.
fn sbom(machine: Machine, tools: &Tools, to: &Path) -> Result<()> {
    const NAME: &str = "llb-sbom.json";
    let mut sbom = command(&tools.sbom)?;
    sbom.args(["cyclonedx", "--quiet", "--format", "json", "--spec-version", "1.5", "--no-build-deps"]);
    sbom.args(["--target", machine.triple(), "--override-filename", NAME.trim_end_matches(".json")]);
    sh::run(sbom.args(["--manifest-path", "llb-userspace/Cargo.toml"]))?;
    let written = paths::root().join("llb-userspace").join(NAME);
    fs::copy(&written, to).with_context(|| format!("cannot copy {}", written.display()))?;
    // It has written one for each member of the workspace, beside its manifest.
    for dir in [paths::root(), paths::root().join("xtask")] {
        for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))? {
            let written = entry?.path().join(NAME);
            if written.is_file() {
                fs::remove_file(&written).with_context(|| format!("cannot remove {}", written.display()))?;
            }
        }
    }
    Ok(())
}

fn tar(stage: &Stage, name: &str, to: &Path) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", &format!("--mtime=@{}", time()?)]);
    tar.arg(format!("--transform=s,^\\.,{name},")).arg("-C").arg(stage.path()).arg("-czf").arg(to);
    sh::run(tar.arg("."))
}

/// The sums of all packages, as `sha256sum --check` reads them.
pub(crate) fn sum(out: &Path) -> Result<()> {
    let mut names: Vec<_> = fs::read_dir(out)?.map(|file| Ok(file?.file_name())).collect::<Result<_>>()?;
    names.sort();
    let sums = sh::output(Command::new("sha256sum").args(&names).current_dir(out))?;
    fs::write(out.join("SHA256SUMS"), sums).context("cannot write SHA256SUMS")
}
