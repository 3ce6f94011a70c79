//! What the virtual machine has: llb, the tests and what they run, each with its libraries, and the script that tries it
//! all.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result};

use super::cpio::Archive;
use super::suites::{Built, SUITES};
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

/// Where the tests' programs in C lie compiled.
const COMPILED: &str = "fixtures";

/// Builds llb and the tests, and from them the archive to boot with.
pub(super) fn make(dir: &Path) -> Result<PathBuf> {
    // From its package and not installed: it would drive out a busybox that is linked otherwise.
    let busybox = kernels::fetch("busybox-static", "bin/busybox", dir)?;
    let built = suites::build()?;

    let mut archive = Archive::default();
    for point in EMPTY {
        archive.directory(point);
    }
    archive.file("init", 0, init(&built)?.as_bytes());
    archive.file("ask.sh", 0, ask().as_bytes());
    add(&mut archive, "bin/busybox", &busybox)?;
    let ip = sh::find(IP).context("there is no ip")?;
    add(&mut archive, "usr/bin/ip", &ip)?;
    add_libraries(&mut archive, &ip)?;
    // Tests know llb, and the fixtures, by the paths that these had when they were compiled.
    for program in built.runners.iter().chain([&built.llb]) {
        add(&mut archive, inside(program)?, program)?;
        add_libraries(&mut archive, program)?;
    }
    add(&mut archive, "usr/local/bin/llb", &built.llb)?;
    service::add_to(&mut archive)?;
    archive.directory(inside(&paths::root().join("llb-userspace"))?);
    add_all(&mut archive, &paths::fixtures(), &|_| true)?;
    add_compiled(&mut archive, dir)?;
    add_python(&mut archive)?;

    let path = dir.join("initramfs.cpio");
    fs::write(&path, archive.finish()).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Told how often to ask.
fn ask() -> String {
    ASK.replace("$REQUESTS", &verdict::REQUESTS.to_string())
}

/// The script, told what there is to run, and how many workers the verdict expects.
fn init(built: &Built) -> Result<String> {
    let mut tests = String::new();
    for (suite, runner) in SUITES.iter().zip(&built.runners) {
        let skips: String = suite.left_out.iter().map(|test| format!(" --skip {test}")).collect();
        let skips = if skips.is_empty() { skips } else { format!(" --exact{skips}") };
        tests += &format!("    suite {} {}{skips}\n", suite.target, quoted(runner)?);
    }
    Ok(INIT
        .replace("$WORKERS", &verdict::WORKERS.to_string())
        .replace("$HOME_OF_TESTS", &quoted(&paths::root().join("llb-userspace"))?)
        .replace("$COMPILED", &format!("/{COMPILED}"))
        .replace("$SUITES", tests.trim_end()))
}

/// Python with its library.
fn add_python(archive: &mut Archive) -> Result<()> {
    let ask = "import sysconfig; print(sysconfig.get_path('stdlib'))";
    let library = sh::output(Command::new(PYTHON).args(["-I", "-c", ask])).context("cannot find Python's library")?;
    add(archive, inside(Path::new(PYTHON))?, Path::new(PYTHON))?;
    add_libraries(archive, Path::new(PYTHON))?;
    add_all(archive, Path::new(library.trim()), &|name| !name.starts_with(NOT_OF_PYTHON))
}

/// A directory with what is in it and has a name that is wanted, at its own path.
pub(super) fn add_all(archive: &mut Archive, dir: &Path, is_wanted: &dyn Fn(&str) -> bool) -> Result<()> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("cannot read {}", dir.display()))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // A link that leads nowhere is left out.
        if !is_wanted(name) || !path.exists() {
            continue;
        }
        if path.is_dir() {
            add_all(archive, &path, is_wanted)?;
        } else {
            add(archive, inside(&path)?, &path)?;
        }
    }
    Ok(())
}

/// The libraries of a program, at their own paths.
pub(super) fn add_libraries(archive: &mut Archive, program: &Path) -> Result<()> {
    let ldd = sh::output(Command::new("ldd").arg(program))
        .with_context(|| format!("cannot tell the libraries of {}", program.display()))?;
    for library in libraries(&ldd) {
        add(archive, inside(Path::new(library))?, Path::new(library))?;
    }
    Ok(())
}

/// The files that `ldd` names: `name => /path (address)`, and the loader's `/path (address)`. The kernel's own vdso
/// has no path.
fn libraries(ldd: &str) -> impl Iterator<Item = &str> {
    ldd.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
}

/// The fixtures in C.
fn add_compiled(archive: &mut Archive, dir: &Path) -> Result<()> {
    for program in fixtures::compile(dir)? {
        let name = program.file_name().context("a program has a name")?;
        add(archive, &format!("{COMPILED}/{}", name.display()), &program)?;
    }
    Ok(())
}

/// A path of this machine as the archive has it.
pub(super) fn inside(path: &Path) -> Result<&str> {
    Ok(printable(path)?.trim_start_matches('/'))
}

/// A path as one word of a script.
fn quoted(path: &Path) -> Result<String> {
    Ok(format!("'{}'", printable(path)?.replace('\'', r"'\''")))
}

fn printable(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

/// A file of this machine under another path, with its age: by that Python tells whether what it has compiled is still
/// good, and compiling its library takes it seconds where all is emulated.
pub(super) fn add(archive: &mut Archive, path: &str, file: &Path) -> Result<()> {
    let cannot = || format!("cannot read {}", file.display());
    let modified = fs::metadata(file).and_then(|metadata| metadata.modified()).with_context(cannot)?;
    let modified = modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    archive.file(path, modified as u32, &fs::read(file).with_context(cannot)?);
    Ok(())
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
    fn the_script_knows_what_to_run_and_how_much_is_expected() {
        let runners = SUITES.iter().map(|suite| PathBuf::from(format!("/t/{}", suite.target))).collect();
        let init = init(&Built { llb: "/t/llb".into(), runners }).unwrap();
        for told in ["$WORKERS", "$REQUESTS", "$HOME_OF_TESTS", "$COMPILED", "$SUITES"] {
            assert!(!init.contains(told) && !ask().contains(told), "{told}");
        }
        assert!(init.contains("\n    suite migration '/t/migration'\n"));
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
