//! Packages of a known version each from the index that pip knows, into target/.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{paths, sh};

/// Packages that come together.
pub struct Packages {
    /// What they are to whoever lacks them.
    pub name: &'static str,
    /// The file that names them with versions and hashes, as pip reads it.
    requirement: &'static str,
    dir: fn() -> PathBuf,
}

/// The Go toolchain.
///
/// Debian's is older than Go 1.24 in some of its releases, and so does not listen by Multipath TCP unless it is told to, which is
/// what matters to llb.
pub const GO: Packages = Packages {
    name: "Go",
    requirement: concat!(env!("CARGO_MANIFEST_DIR"), "/src/go.txt"),
    dir: || paths::go().join("toolchain"),
};

/// A QUIC server and its client in Python, which Debian has in some of its releases only.
pub const AIOQUIC: Packages = Packages {
    name: "aioquic",
    requirement: concat!(env!("CARGO_MANIFEST_DIR"), "/src/aioquic.txt"),
    dir: paths::aioquic,
};

/// gRPC's own server and client for Python, which are those of C++: Debian's are years old.
pub const GRPCIO: Packages = Packages {
    name: "grpcio",
    requirement: concat!(env!("CARGO_MANIFEST_DIR"), "/src/grpcio.txt"),
    dir: paths::grpcio,
};

/// A server of HTTP/3: Debian's is years old.
pub const CADDY: Packages =
    Packages { name: "Caddy", requirement: concat!(env!("CARGO_MANIFEST_DIR"), "/src/caddy.txt"), dir: paths::caddy };

impl Packages {
    /// Whether they are there, in this version.
    #[must_use]
    pub fn are_there(&self) -> bool {
        fs::read_to_string(self.installed())
            .is_ok_and(|installed| self.wanted().is_ok_and(|wanted| wanted == installed))
    }

    /// Installs them, unless they are there. Takes pip.
    ///
    /// # Errors
    /// If pip fails.
    pub fn provide(&self) -> Result<()> {
        if self.are_there() {
            return Ok(());
        }
        let (wanted, dir) = (self.wanted()?, (self.dir)());
        println!("installing {}", self.name);
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
        }
        sh::run(&mut self.pip()).with_context(|| format!("cannot install {}", self.name))?;
        fs::write(self.installed(), wanted).with_context(|| format!("cannot write {}", self.installed().display()))
    }

    /// Written when all else has succeeded.
    fn installed(&self) -> PathBuf {
        (self.dir)().join("requirement.txt")
    }

    fn wanted(&self) -> Result<String> {
        fs::read_to_string(self.requirement).with_context(|| format!("cannot read {}", self.requirement))
    }

    fn pip(&self) -> Command {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--root-user-action", "ignore", "--no-cache-dir", "--no-deps"]);
        pip.args(["--no-compile", "--only-binary", ":all:", "--require-hashes", "--requirement", self.requirement]);
        pip.arg("--target").arg((self.dir)());
        pip
    }
}
