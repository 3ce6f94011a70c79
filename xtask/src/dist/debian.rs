//! A small system made of Debian's packages, to install llb's in.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::directory;
use llb_kit::{apt, sh};

/// Which Debian: one older than what most have, with a glibc of 2022.
const SUITE: &str = "bookworm";
const MIRROR: &str = "http://deb.debian.org/debian";

/// What reads llb's pages and completions, and installs the other package.
const PACKAGES: &str = "--include=man-db,rpm,zsh";

/// Removed when it is dropped, however that comes about.
pub(crate) struct Root(PathBuf);

impl Root {
    pub(crate) fn make() -> Result<Self> {
        apt::install(&["mmdebstrap"])?;
        let root = Self(directory().join(format!("root-{}", std::process::id())));
        let mut make = Command::new("mmdebstrap");
        make.args(["--quiet", "--mode=root", "--variant=essential", PACKAGES]);
        sh::run(make.arg(SUITE).arg(&root.0).arg(MIRROR)).context("cannot make a system of Debian's packages")?;
        Ok(root)
    }

    /// Copies a file to the top of it.
    pub(crate) fn take(&self, file: &Path) -> Result<()> {
        let to = self.0.join(file.file_name().unwrap_or_default());
        fs::copy(file, to).map(drop).with_context(|| format!("cannot copy {}", file.display()))
    }

    /// Runs a shell's script in it, which sees this machine's processes and kernel. What is mounted for it goes when it ends.
    pub(crate) fn run(&self, script: &str, words: &[&str]) -> Result<()> {
        const ENTER: &str = "for dir in proc sys dev; do mount --rbind /$dir \"$1/$dir\"; done; exec chroot \"$@\"";
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--propagation", "private", "sh", "-euc", ENTER, "sh"]).arg(&self.0);
        sh::run(
            unshare
                .args(["bash", "-euc", script, "bash"])
                .args(words)
                .env("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        )
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // Not with what may be mounted in it.
        let removed = Command::new("rm").args(["-rf", "--one-file-system"]).arg(&self.0).status();
        if !removed.is_ok_and(|status| status.success()) {
            eprintln!("cannot remove {}; remove it by hand", self.0.display());
        }
    }
}
