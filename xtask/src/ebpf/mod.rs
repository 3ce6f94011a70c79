//! `cargo xtask ebpf`: the compiled kernel side, committed so that stable Rust alone builds llb.
//!
//! Whoever has the toolchain recorded beside the object rebuilds it byte for byte, in any directory (see [`wrapper`]).
//! Another toolchain gives other bytes; what it gives must then pass the kernel's own tests.

mod debian;
mod nightly;
mod object;
mod record;
mod toolchain;
pub(crate) mod wrapper;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use self::object::Lock;
use self::record::{Record, sha256};
use llb_kit::paths;

use crate::test;

/// Installs the toolchain, unless there is one.
pub(crate) fn setup() -> Result<()> {
    toolchain::provide()
}

/// Builds the object and puts it, with a record of what built it, where llb-userspace embeds it.
pub(crate) fn rebuild() -> Result<()> {
    let (object, record) = (paths::object(), paths::record());
    let toolchain = toolchain::find()?;
    let dir = object.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    object::build(&toolchain, Lock::MayChange, &object)?;
    let built = Record { versions: toolchain.versions()?, sha256: sha256(&object)? };
    fs::write(&record, built.to_string()).with_context(|| format!("cannot write {}", record.display()))?;
    println!("{}, {}:\n{built}", object.display(), size(&object)?);
    Ok(())
}

/// Builds the object elsewhere, from nothing, and holds it against the committed one.
pub(crate) fn check() -> Result<()> {
    let committed = paths::object();
    let recorded = Record::read(&paths::record())?;
    let committed_hash = sha256(&committed)?;
    ensure!(
        committed_hash == recorded.sha256,
        "{} is not the object that {} describes; run `cargo xtask ebpf` and commit both",
        committed.display(),
        paths::record().display()
    );

    let toolchain = toolchain::find()?;
    let here = toolchain.versions()?;
    ensure!(
        here.flags == recorded.versions.flags,
        "the committed object was built with `{}`, xtask now builds with `{}`; run `cargo xtask ebpf` and commit",
        recorded.versions.flags,
        here.flags
    );
    if paths::ebpf_target().exists() {
        fs::remove_dir_all(paths::ebpf_target()).context("cannot empty target/ebpf")?;
    }
    fs::create_dir_all(paths::ebpf_target()).context("cannot make target/ebpf")?;
    let rebuilt = paths::ebpf_target().join("rebuilt.bpf.o");
    object::build(&toolchain, Lock::Fixed, &rebuilt)?;

    let rebuilt_hash = sha256(&rebuilt)?;
    if rebuilt_hash == committed_hash {
        println!("{} rebuilds byte for byte: {}, sha256 {committed_hash}", committed.display(), size(&committed)?);
        return Ok(());
    }
    ensure!(
        !here.same_programs(&recorded.versions),
        "{} is not what its sources give: committed {committed_hash}, rebuilt {rebuilt_hash} by the recorded \
         toolchain; run `cargo xtask ebpf` and commit llb-userspace/ebpf",
        committed.display()
    );
    println!(
        "the toolchain here is not the recorded one, so the bytes differ.\n\nrecorded\n{}\n\nhere\n{here}",
        recorded.versions
    );
    println!("sha256: {rebuilt_hash}\n\nrunning the kernel tests on what was rebuilt here");
    test::kernel_tests_on(&rebuilt).context("the object rebuilt here does not pass the kernel tests")
}

fn size(path: &Path) -> Result<String> {
    let bytes = fs::metadata(path).with_context(|| format!("cannot see {}", path.display()))?.len();
    Ok(format!("{bytes} bytes"))
}
