//! What the virtual machine has: llb with its libraries, busybox, and the script that tries llb.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::cpio::Archive;
use super::{kernels, verdict};
use crate::{paths, sh};

/// Where `init.sh` mounts what.
const MOUNT_POINTS: [&str; 5] = ["proc", "sys", "dev", "run", "tmp"];

const INIT: &str = include_str!("init.sh");

/// Builds llb, and from it the archive to boot with.
pub(super) fn make(dir: &Path) -> Result<PathBuf> {
    // From its package and not installed: it would drive out a busybox that is linked otherwise.
    let busybox = kernels::fetch("busybox-static", "bin/busybox", dir)?;
    let llb = build()?;
    let ldd = sh::output(Command::new("ldd").arg(&llb)).context("cannot tell the libraries of llb")?;

    let mut archive = Archive::default();
    for point in MOUNT_POINTS {
        archive.directory(point);
    }
    archive.program("init", init().as_bytes());
    archive.program("bin/busybox", &read(&busybox)?);
    archive.program("bin/llb", &read(&llb)?);
    for library in libraries(&ldd) {
        archive.program(library.trim_start_matches('/'), &read(Path::new(library))?);
    }
    let path = dir.join("initramfs.cpio");
    fs::write(&path, archive.finish()).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Builds llb as this xtask was built, so that it lies beside it.
fn build() -> Result<PathBuf> {
    let mut cargo = Command::new(sh::cargo());
    cargo.current_dir(paths::root()).args(["build", "--package", "llb-userspace", "--bin", "llb"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    sh::run(&mut cargo)?;
    let xtask = std::env::current_exe().context("cannot tell where xtask lies")?;
    Ok(xtask.with_file_name("llb"))
}

/// The script, told what the verdict expects.
fn init() -> String {
    INIT.replace("$WORKERS", &verdict::WORKERS.to_string()).replace("$REQUESTS", &verdict::REQUESTS.to_string())
}

/// The files that `ldd` names: `name => /path (address)`, and the loader's `/path (address)`. The kernel's own vdso
/// has no path.
fn libraries(ldd: &str) -> impl Iterator<Item = &str> {
    ldd.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_and_the_libraries_come_along() {
        let said = "\tlinux-vdso.so.1 (0x00007f86e3d09000)\n\
            \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f86e2e1e000)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f86e3d0b000)\n";
        let found: Vec<_> = libraries(said).collect();
        assert_eq!(found, ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]);
    }

    #[test]
    fn the_script_knows_how_much_is_expected() {
        assert!(!init().contains("$WORKERS") && !init().contains("$REQUESTS"));
    }
}
