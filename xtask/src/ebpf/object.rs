//! Compiling the kernel side to one small object that is the same, byte for byte, wherever it is built.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{toolchain::Toolchain, wrapper};
use llb_kit::{paths, sh};

/// Little-endian BPF; what every kernel that llb supports runs on x86_64 and aarch64.
pub(crate) const TARGET: &str = "bpfel-unknown-none";

/// Debug information and `--btf` give the maps and functions the types that the kernel asks for. v3 has the atomic
/// instructions that return the old value, and every kernel since 5.12 runs it.
pub(crate) const FLAGS: [&str; 6] = ["-C", "debuginfo=2", "-C", "link-arg=--btf", "-C", "target-cpu=v3"];

/// What may happen to llb-ebpf's Cargo.lock.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    /// It follows Cargo.toml, as with any build.
    MayChange,
    /// It must be right as it is: a check proves what is committed.
    Fixed,
}

/// Compiles llb-ebpf and leaves the object, stripped of DWARF, at `to`.
pub(crate) fn build(toolchain: &Toolchain, lock: Lock, to: &Path) -> Result<()> {
    let linked = compile(toolchain, lock).context("llb-ebpf does not compile")?;
    // The loader reads BTF and symbols only. DWARF is four fifths of what the linker writes.
    sh::run(Command::new(&toolchain.objcopy).arg("--strip-debug").arg(&linked).arg(to))
        .with_context(|| format!("cannot strip {}", linked.display()))
}

fn compile(toolchain: &Toolchain, lock: Lock) -> Result<PathBuf> {
    let target_dir = paths::ebpf_target();
    let xtask = std::env::current_exe().context("cannot tell where xtask's own program is")?;
    let mut cargo = Command::new(&toolchain.cargo);
    cargo
        .current_dir(paths::ebpf_crate())
        .args(["build", "--release", "--target", TARGET, "-Z", "build-std=core", "--target-dir"])
        .arg(&target_dir)
        .args((lock == Lock::Fixed).then_some("--locked"))
        .env("RUSTC", &toolchain.rustc)
        .env("RUSTC_WRAPPER", xtask)
        .env(wrapper::WANTED, "1")
        // core is built from source, and the kernel side uses intrinsics: both are unstable features.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\x1f"))
        .env("PATH", with_first_on_path(&toolchain.linker)?);
    // What the cargo that runs xtask, or the caller, set for another compiler.
    for foreign in ["LD_LIBRARY_PATH", "RUSTUP_TOOLCHAIN", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(foreign);
    }
    sh::run(&mut cargo)?;
    Ok(target_dir.join(TARGET).join("release/llb-ebpf"))
}

/// PATH with the linker's directory in front: rustc knows the linker of this target by its name.
fn with_first_on_path(linker: &Path) -> Result<std::ffi::OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = linker.parent().map(Path::to_path_buf).into_iter().chain(std::env::split_paths(&path));
    std::env::join_paths(dirs).context("PATH cannot be extended")
}
