//! The compiler, the linker and the stripper of the kernel side.
//!
//! The stable compiler that builds the rest cannot build it: BPF has no precompiled core, and building core needs its
//! source and an unstable cargo option. Debian packages such a compiler and the LLVM that bpf-linker needs, and
//! everyone who installs them has the same; it comes first. A rustup nightly does as well.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::record::Versions;
use super::{debian, nightly, object};
use llb_kit::sh;

/// Where there is no apt.
const ELSEWHERE: &str = "Elsewhere: `rustup toolchain install nightly --component rust-src` and a bpf-linker on PATH, from \
    https://github.com/aya-rs/bpf-linker/releases or `cargo install bpf-linker`";

/// Programs that together build the object.
pub(crate) struct Toolchain {
    pub(crate) cargo: PathBuf,
    pub(crate) rustc: PathBuf,
    pub(crate) linker: PathBuf,
    pub(crate) objcopy: PathBuf,
}

/// The first complete toolchain here.
pub(crate) fn find() -> Result<Toolchain> {
    present().with_context(|| {
        format!(
            "no toolchain here builds eBPF. On Debian `cargo xtask setup ebpf` installs one: {}, the LLVM of that compiler, \
             and a bpf-linker. {ELSEWHERE}",
            debian::COMPILER.join(" ")
        )
    })
}

/// Installs Debian's, if there is none.
pub(super) fn provide() -> Result<()> {
    if present().is_some() {
        return Ok(());
    }
    if !debian::may_install()? {
        bail!(
            "no toolchain here builds eBPF. On Debian: `sudo apt-get update && sudo apt-get install -y {}`, then this \
             again, which names or builds the rest. {ELSEWHERE}",
            debian::COMPILER.join(" ")
        );
    }
    debian::install().context("cannot install Debian's eBPF toolchain")?;
    debian::present().map(drop).context("Debian's eBPF toolchain was installed, yet is not complete")
}

fn present() -> Option<Toolchain> {
    debian::present().or_else(nightly::present)
}

impl Toolchain {
    /// Which versions these are, as recorded beside the object.
    pub(crate) fn versions(&self) -> Result<Versions> {
        Ok(Versions {
            rustc: Compiler::ask(&self.rustc)?.to_string(),
            linker: sh::output(Command::new(&self.linker).arg("--version"))?.trim().to_owned(),
            objcopy: llvm_version(&sh::output(Command::new(&self.objcopy).arg("--version"))?)
                .with_context(|| format!("`{} --version` names no LLVM version", self.objcopy.display()))?,
            flags: object::FLAGS.join(" "),
        })
    }
}

/// What a compiler says about itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Compiler {
    release: String,
    commit: String,
    llvm: String,
}

impl Compiler {
    pub(crate) fn ask(rustc: &Path) -> Result<Self> {
        // Not the library path that the cargo which runs xtask set for its own compiler.
        let said = sh::output(Command::new(rustc).arg("-vV").env_remove("LD_LIBRARY_PATH"))?;
        Self::parse(&said).with_context(|| format!("`{} -vV` names no release, commit and LLVM", rustc.display()))
    }

    fn parse(said: &str) -> Option<Self> {
        let field = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).map(|v| v.trim().to_owned());
        Some(Self { release: field("release:")?, commit: field("commit-hash:")?, llvm: field("LLVM version:")? })
    }

    /// The major version of its LLVM.
    pub(crate) fn llvm_major(&self) -> &str {
        self.llvm.split('.').next().unwrap_or(&self.llvm)
    }

    /// Whether it is at least as new as the Rust version that the workspace asks for.
    pub(crate) fn is_new_enough(&self) -> bool {
        major_minor(&self.release) >= major_minor(env!("CARGO_PKG_RUST_VERSION"))
    }
}

impl std::fmt::Display for Compiler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (commit {}, LLVM {})", self.release, self.commit, self.llvm)
    }
}

/// The root of a compiler's own libraries, if core's source is there.
pub(crate) fn sysroot_with_source(rustc: &Path) -> Option<PathBuf> {
    let said = sh::output(Command::new(rustc).args(["--print", "sysroot"]).env_remove("LD_LIBRARY_PATH")).ok()?;
    let sysroot = PathBuf::from(said.trim());
    sysroot.join("lib/rustlib/src/rust/library/core/src/lib.rs").is_file().then_some(sysroot)
}

fn major_minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn llvm_version(said: &str) -> Option<String> {
    let (_, after) = said.split_once("LLVM version ")?;
    Some(format!("LLVM {}", after.split_whitespace().next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)\nbinary: rustc\n\
        commit-hash: ac68faa20c58cbccd01ee7208bf3b6e93a7d7f96\ncommit-date: 2026-05-25\n\
        host: x86_64-unknown-linux-gnu\nrelease: 1.96.0\nLLVM version: 22.1.8\n";

    #[test]
    fn a_compiler_is_known_by_release_commit_and_llvm() {
        let compiler = Compiler::parse(SAID).unwrap();
        assert_eq!(compiler.to_string(), "1.96.0 (commit ac68faa20c58cbccd01ee7208bf3b6e93a7d7f96, LLVM 22.1.8)");
        assert_eq!(compiler.llvm_major(), "22");
        assert_eq!(Compiler::parse("rustc 1.96.0"), None);
    }

    #[test]
    fn an_old_compiler_is_not_new_enough() {
        let with = |release: &str| Compiler { release: release.into(), commit: String::new(), llvm: String::new() };
        assert!(with("1.97.0-nightly").is_new_enough());
        assert!(with("2.0.0").is_new_enough());
        assert!(with(concat!(env!("CARGO_PKG_RUST_VERSION"), ".0")).is_new_enough());
        assert!(!with("1.9.0").is_new_enough());
        assert!(!with("1.63.0").is_new_enough());
    }

    #[test]
    fn the_strippers_version_is_its_llvms() {
        let said = "llvm-objcopy, compatible with GNU objcopy\nDebian LLVM version 22.1.8\n  Optimized build.\n";
        assert_eq!(llvm_version(said).as_deref(), Some("LLVM 22.1.8"));
        assert_eq!(llvm_version("GNU objcopy 2.40"), None);
    }
}
