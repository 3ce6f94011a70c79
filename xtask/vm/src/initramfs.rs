//! What the virtual machine has: llb, the tests and what they run, each with its libraries, and the script that tries it
//! all.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::copy::{add, add_all, add_below, add_libraries, inside, printable};
use super::cpio::Archive;
use super::machine::Machine;
use super::suites::{Built, Suite};
use super::{kernels, service, suites, verdict};
use llb_kit::{fixtures, paths, sh};

/// Where `init.sh` mounts what, and where programs put what they make.
const EMPTY: [&str; 6] = ["proc", "sys", "dev", "run", "tmp", "usr/bin"];

const INIT: &str = include_str!("init.sh");

/// What it and `service.sh` have in common.
const ASK: &str = include_str!("ask.sh");

/// A program of this machine that the tests run, and of which busybox has only a small one.
const IP: &str = "ip";

/// Python of the distribution: one that somebody has put before it in the path is not as easily copied.
const PYTHON: &str = "/usr/bin/python3";

/// What to link Python programs with takes as much as all the rest of Python's library.
const NOT_OF_PYTHON: &str = "config-";

/// What starts programs on aarch64 that have libraries.
const ARM_LOADER: &str = "lib/ld-linux-aarch64.so.1";

/// Where the tests' programs in C lie compiled.
const COMPILED: &str = "fixtures";

/// Builds llb and the tests, and from them the archive to boot with.
pub(super) fn make(dir: &Path) -> Result<PathBuf> {
    // From its package and not installed: it would drive out a busybox that is linked otherwise.
    let busybox = kernels::fetch("busybox-static", "bin/busybox", dir)?;
    let built = suites::build(Machine::X86)?;
    let mut archive = begin(&built)?;
    add(&mut archive, "bin/busybox", &busybox)?;
    let ip = sh::find(IP).context("there is no ip")?;
    add(&mut archive, "usr/bin/ip", &ip)?;
    add_libraries(&mut archive, &ip)?;
    for program in built.programs() {
        add_libraries(&mut archive, program)?;
    }
    service::add_to(&mut archive)?;
    add_compiled(&mut archive, fixtures::compile(dir)?)?;
    add_python(&mut archive)?;
    finish(archive, &dir.join("initramfs.cpio"))
}

/// The same for aarch64, with what a tree of Debian's packages for it has. What is compiled here is static.
pub(super) fn make_for_arm(dir: &Path, root: &Path) -> Result<PathBuf> {
    let built = suites::build(Machine::Arm)?;
    let mut archive = begin(&built)?;
    add(&mut archive, "bin/busybox", &root.join("bin/busybox"))?;
    add(&mut archive, "usr/bin/ip", &root.join("bin/ip"))?;
    add(&mut archive, ARM_LOADER, &root.join(ARM_LOADER))?;
    for libraries in ["lib/aarch64-linux-gnu", "usr/lib/aarch64-linux-gnu"] {
        add_below(&mut archive, root, &root.join(libraries), &|name| name.contains(".so"))?;
    }
    add(&mut archive, inside(Path::new(PYTHON))?, &root.join("usr/bin/python3"))?;
    add_below(&mut archive, root, &python_library(root)?, &|name| !name.starts_with(NOT_OF_PYTHON))?;
    add_compiled(&mut archive, fixtures::compile_by(suites::ARM_COMPILER, &dir.join("fixtures-arm64"))?)?;
    finish(archive, &dir.join("initramfs-arm64.cpio"))
}

/// What is the same for all: the scripts, llb, the tests and what lies beside them.
fn begin(built: &Built) -> Result<Archive> {
    let mut archive = Archive::default();
    for point in EMPTY {
        archive.directory(point);
    }
    archive.file("init", 0, init(built)?.as_bytes());
    archive.file("ask.sh", 0, ask().as_bytes());
    // Tests know llb, and the fixtures, by the paths that these had when they were compiled.
    for program in built.programs() {
        add(&mut archive, inside(program)?, program)?;
    }
    add(&mut archive, "usr/local/bin/llb", &built.llb)?;
    archive.directory(inside(&paths::root().join("llb-userspace"))?);
    add_all(&mut archive, &paths::fixtures(), &|_| true)?;
    Ok(archive)
}

fn finish(archive: Archive, path: &Path) -> Result<PathBuf> {
    fs::write(path, archive.finish()).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path.to_owned())
}

/// Told how often to ask.
fn ask() -> String {
    ASK.replace("$REQUESTS", &verdict::REQUESTS.to_string())
}

/// The script, told what there is to run, and how many workers the verdict expects.
fn init(built: &Built) -> Result<String> {
    let mut suites = String::new();
    for Suite { name, left_out } in &built.suites {
        let skips: String = left_out.iter().map(|test| format!(" --skip {name}::{test}")).collect();
        suites += &format!("    suite {name}{skips}\n");
    }
    Ok(INIT
        .replace("$WORKERS", &verdict::WORKERS.to_string())
        .replace("$HOME_OF_TESTS", &quoted(&paths::root().join("llb-userspace"))?)
        .replace("$COMPILED", &format!("/{COMPILED}"))
        .replace("$TESTS", &quoted(&built.tests)?)
        .replace("$SUITES", suites.trim_end()))
}

/// Python with its library.
fn add_python(archive: &mut Archive) -> Result<()> {
    let ask = "import sysconfig; print(sysconfig.get_path('stdlib'))";
    let library = sh::output(Command::new(PYTHON).args(["-I", "-c", ask])).context("cannot find Python's library")?;
    add(archive, inside(Path::new(PYTHON))?, Path::new(PYTHON))?;
    add_libraries(archive, Path::new(PYTHON))?;
    add_all(archive, Path::new(library.trim()), &|name| !name.starts_with(NOT_OF_PYTHON))
}

/// Python's library in a tree of Debian's.
fn python_library(root: &Path) -> Result<PathBuf> {
    let dir = root.join("usr/lib");
    let entries = fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let name = names.into_iter().find(|name| name.starts_with("python3."));
    Ok(dir.join(name.with_context(|| format!("there is no Python in {}", dir.display()))?))
}

/// The fixtures in C.
fn add_compiled(archive: &mut Archive, programs: Vec<PathBuf>) -> Result<()> {
    for program in programs {
        let name = program.file_name().context("a program has a name")?;
        add(archive, &format!("{COMPILED}/{}", name.display()), &program)?;
    }
    Ok(())
}

/// A path as one word of a script.
fn quoted(path: &Path) -> Result<String> {
    Ok(format!("'{}'", printable(path)?.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suites::SUITES;

    #[test]
    fn the_script_knows_what_to_run_and_how_much_is_expected() {
        let built = Built { llb: "/t/llb".into(), tests: "/t/it".into(), suites: SUITES.iter().collect() };
        let init = init(&built).unwrap();
        for told in ["$WORKERS", "$REQUESTS", "$HOME_OF_TESTS", "$COMPILED", "$TESTS", "$SUITES"] {
            assert!(!init.contains(told) && !ask().contains(told), "{told}");
        }
        assert!(init.contains("\n    program='/t/it'\n"));
        assert!(init.contains("\n    suite migration\n"));
        assert!(init.contains("\n    suite modes --skip modes::a_replacement_starts_its_histogram_anew\n"));
    }

    #[test]
    fn any_path_is_one_word_of_the_script() {
        for path in ["/a b/c", "/it's", "/$HOME/`id`"] {
            let said =
                sh::output(Command::new("sh").arg("-c").arg(format!("printf %s {}", quoted(path.as_ref()).unwrap())));
            assert_eq!(said.unwrap(), path);
        }
    }
}
