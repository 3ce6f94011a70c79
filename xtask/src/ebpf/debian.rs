//! Debian's own compiler with core's source, and a bpf-linker built against Debian's LLVM.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::toolchain::{Compiler, Toolchain, sysroot_with_source};
use llb_kit::{apt, sh};

/// The compiler, core's source, and the host's standard library for build scripts and macros.
pub(crate) const COMPILER: [&str; 3] = ["rustc-web", "rust-web-src", "libstd-rust-web-dev"];

const RUSTC: &str = "/usr/bin/rustc";

/// The newest bpf-linker that the workspace's Rust version builds.
const LINKER_VERSION: &str = "0.13.0";

/// The toolchain, if all of it is here.
pub(crate) fn present() -> Option<Toolchain> {
    let compiler = compiler()?;
    let objcopy = PathBuf::from(format!("/usr/bin/llvm-objcopy-{}", compiler.llvm_major()));
    let linker = linker_dirs().into_iter().map(|dir| dir.join("bin/bpf-linker")).find(|linker| linker.is_file())?;
    objcopy.is_file().then(|| Toolchain { cargo: sh::cargo(), rustc: RUSTC.into(), linker, objcopy })
}

/// Whether `install` can work: the packages are here already, or we may install them and apt is Debian's.
pub(crate) fn may_install() -> Result<bool> {
    let is_debian = std::fs::read_to_string("/etc/os-release").is_ok_and(|text| text.lines().any(|l| l == "ID=debian"));
    Ok(is_debian && (compiler().is_some() || apt::may_install()?))
}

/// Installs what is missing: packages as root, the linker below our own directory.
pub(crate) fn install() -> Result<()> {
    if compiler().is_none() {
        apt::install(&COMPILER)?;
    }
    let compiler = compiler().with_context(|| {
        format!("{RUSTC} has no source of core or is older than Rust {}", env!("CARGO_PKG_RUST_VERSION"))
    })?;
    let llvm = compiler.llvm_major();
    apt::install(&[&format!("llvm-{llvm}-dev"), "zlib1g-dev", "libzstd-dev"])?;
    install_linker(llvm)
}

fn compiler() -> Option<Compiler> {
    let compiler = Compiler::ask(Path::new(RUSTC)).ok().filter(Compiler::is_new_enough)?;
    sysroot_with_source(Path::new(RUSTC)).map(|_| compiler)
}

fn install_linker(llvm: &str) -> Result<()> {
    let dirs = linker_dirs();
    let dir = if sh::is_root()? { dirs.first() } else { dirs.last() }.context("HOME is not set")?;
    println!("building bpf-linker {LINKER_VERSION} against LLVM {llvm} into {}; takes minutes, once", dir.display());
    let prefix = format!("/usr/lib/llvm-{llvm}");
    let mut cargo = Command::new(sh::cargo());
    cargo
        .args(["install", "bpf-linker", "--version", LINKER_VERSION, "--locked", "--no-default-features", "--features"])
        .arg(format!("llvm-{llvm}"))
        .arg("--root")
        .arg(dir)
        // One name for bpf-linker's own build script, one for that of its bindings; without them both look elsewhere.
        .env("LLVM_PREFIX", &prefix)
        .env(format!("LLVM_SYS_{llvm}1_PREFIX"), &prefix);
    sh::run(&mut cargo).context("cannot build bpf-linker")
}

/// Where our linker may be: for everyone (root installs it there), then for this user.
fn linker_dirs() -> Vec<PathBuf> {
    let name = format!("bpf-linker-{LINKER_VERSION}");
    let cache = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/llb"));
    [Some(PathBuf::from("/usr/local/lib")), cache].into_iter().flatten().map(|dir| dir.join(&name)).collect()
}
