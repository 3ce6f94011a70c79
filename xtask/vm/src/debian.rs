//! What comes from Debian's packages for another processor: a kernel, busybox, `ip` and Python.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::kernels::Kernel;
use llb_kit::sh;

const SUITE: &str = "bookworm";
const MIRROR: &str = "http://deb.debian.org/debian";
const PACKAGES: &str = "--include=linux-image-cloud-arm64,busybox-static,iproute2,python3";

/// The packages' files, unpacked and not set up: nothing here runs them.
pub(super) fn provide(cache: &Path) -> Result<PathBuf> {
    let root = cache.join("arm64");
    // Written when all else has succeeded.
    let whole = cache.join("arm64.whole");
    if !whole.exists() {
        println!("downloading Debian's packages for aarch64");
        if root.exists() {
            fs::remove_dir_all(&root).with_context(|| format!("cannot remove {}", root.display()))?;
        }
        let mut make = Command::new("mmdebstrap");
        make.args(["--quiet", "--variant=extract", "--arch=arm64", PACKAGES, SUITE]).arg(&root).arg(MIRROR);
        sh::run(&mut make).context("cannot get Debian's packages for aarch64")?;
        fs::write(&whole, "").with_context(|| format!("cannot write {}", whole.display()))?;
    }
    Ok(root)
}

/// The kernel among them.
pub(super) fn kernel(root: &Path) -> Result<Kernel> {
    const PREFIX: &str = "vmlinuz-";
    let boot = root.join("boot");
    let names = fs::read_dir(&boot).with_context(|| format!("cannot read {}", boot.display()))?;
    let release = |name: fs::DirEntry| Some(name.file_name().to_str()?.strip_prefix(PREFIX)?.to_owned());
    let release = names.filter_map(|name| release(name.ok()?)).next();
    let release = release.with_context(|| format!("there is no kernel in {}", boot.display()))?;
    Ok(Kernel { image: boot.join(format!("{PREFIX}{release}")), release })
}
