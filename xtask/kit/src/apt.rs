//! Debian packages: which are missing, and installing them where that is ours to do.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::sh;

/// The packages among these that are not installed.
fn missing<'a>(packages: &[&'a str]) -> Vec<&'a str> {
    packages.iter().copied().filter(|package| !is_installed(package)).collect()
}

/// Whether we may install packages: root, on a system that has apt.
pub fn may_install() -> Result<bool> {
    Ok(sh::is_root()? && sh::find("apt-get").is_some())
}

/// The command that installs these packages, for a reader who has to run it.
fn command_for(packages: &[&str]) -> String {
    format!("sudo apt-get update && sudo apt-get install -y --no-install-recommends {}", packages.join(" "))
}

/// Installs those of the packages that are missing, or says how to.
pub fn install(packages: &[&str]) -> Result<()> {
    let missing = missing(packages);
    if missing.is_empty() {
        return Ok(());
    }
    if !may_install()? {
        bail!("these packages are missing: {}. Install them: {}", missing.join(" "), command_for(&missing));
    }
    println!("installing {}", missing.join(" "));
    // An image's lists may be absent or so old that what they name is gone. One dead source among several must
    // not stop us: the install below fails if it mattered.
    if let Err(error) = update() {
        eprintln!("{error:#}; going on with the lists at hand");
    }
    let _quiet = NoServices::forbid()?;
    sh::run(apt_get().args(["-q", "install", "-y", "--no-install-recommends"]).args(&missing))
        .with_context(|| format!("cannot install {}; try `{}`", missing.join(" "), command_for(&missing)))
}

/// Fetches the lists of packages.
pub fn update() -> Result<()> {
    sh::run(apt_get().args(["-q", "update"]))
}

/// The packages in apt's lists whose names match a regular expression.
pub fn names(pattern: &str) -> Result<Vec<String>> {
    let found = sh::output(Command::new("apt-cache").args(["search", "--names-only", pattern]))?;
    Ok(found.lines().filter_map(|line| line.split_once(" - ")).map(|(name, _)| name.to_owned()).collect())
}

/// Unpacks a package's files below an empty directory and installs nothing. Takes no rights.
pub fn unpack(package: &str, dir: &Path) -> Result<()> {
    sh::output(apt_get().current_dir(dir).args(["-q", "download", package]))?;
    let files = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let archive =
        files.filter_map(|file| Some(file.ok()?.path())).find(|file| file.extension().is_some_and(|e| e == "deb"));
    let archive = archive.with_context(|| format!("apt-get download left no {package} in {}", dir.display()))?;
    sh::output(Command::new("dpkg").arg("-x").arg(archive).arg(dir)).map(drop)
}

/// Keeps a service that a package brought from starting with the machine.
pub fn disable(service: &str) -> Result<()> {
    if sh::find("systemctl").is_none() {
        return Ok(());
    }
    sh::run(Command::new("systemctl").args(["--quiet", "disable", service]))
        .with_context(|| format!("cannot disable the service {service}; run `sudo systemctl disable {service}`"))
}

/// Whether a package is installed.
pub fn is_installed(package: &str) -> bool {
    sh::output(Command::new("dpkg-query").args(["-W", "-f=${db:Status-Abbrev}", package]))
        .is_ok_and(|status| status.starts_with("ii"))
}

fn apt_get() -> Command {
    let mut apt = Command::new("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    apt
}

/// While this lives, installing a server's package does not start the server: Debian asks /usr/sbin/policy-rc.d
/// before it starts any service, and 101 means no. A system that has a policy of its own keeps it.
struct NoServices {
    ours: bool,
}

impl NoServices {
    const POLICY: &str = "/usr/sbin/policy-rc.d";

    fn forbid() -> Result<Self> {
        if Path::new(Self::POLICY).exists() {
            return Ok(Self { ours: false });
        }
        fs::write(Self::POLICY, "#!/bin/sh\nexit 101\n").with_context(|| format!("cannot write {}", Self::POLICY))?;
        let guard = Self { ours: true };
        fs::set_permissions(Self::POLICY, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("cannot make {} executable", Self::POLICY))?;
        Ok(guard)
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(Self::POLICY)
        {
            eprintln!("cannot remove {}: {error}; remove it, or no newly installed service will start", Self::POLICY);
        }
    }
}
