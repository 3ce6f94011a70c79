//! A rustup nightly with core's source, and whatever bpf-linker is on PATH.

use std::path::PathBuf;
use std::process::Command;

use super::toolchain::{Compiler, Toolchain, sysroot_with_source};
use llb_kit::sh;

/// The toolchain, if all of it is here.
pub(crate) fn present() -> Option<Toolchain> {
    let linker = sh::find("bpf-linker")?;
    let rustc = sh::output(Command::new("rustup").args(["which", "--toolchain", "nightly", "rustc"])).ok()?;
    let rustc = PathBuf::from(rustc.trim());
    Compiler::ask(&rustc).ok().filter(Compiler::is_new_enough)?;
    let sysroot = sysroot_with_source(&rustc)?;
    Some(Toolchain {
        // Not the stable cargo: building core changes with the nightly, and only its own cargo keeps up with it.
        cargo: rustc.with_file_name("cargo"),
        objcopy: sysroot.join("lib/rustlib").join(host(&rustc)?).join("bin/rust-objcopy"),
        rustc,
        linker,
    })
}

fn host(rustc: &std::path::Path) -> Option<String> {
    let said = sh::output(Command::new(rustc).args(["--print", "host-tuple"]).env_remove("LD_LIBRARY_PATH")).ok()?;
    Some(said.trim().to_owned())
}
