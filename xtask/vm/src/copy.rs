//! Files of this machine in the archive.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result};

use super::cpio::Archive;
use llb_kit::sh;

/// A directory with what is in it and has a name that is wanted, at its own path.
pub(super) fn add_all(archive: &mut Archive, dir: &Path, is_wanted: &dyn Fn(&str) -> bool) -> Result<()> {
    add_below(archive, Path::new("/"), dir, is_wanted)
}

/// The same, as seen from a root.
pub(super) fn add_below(
    archive: &mut Archive,
    root: &Path,
    dir: &Path,
    is_wanted: &dyn Fn(&str) -> bool,
) -> Result<()> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("cannot read {}", dir.display()))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // A link that leads nowhere is left out.
        if !is_wanted(name) || !path.exists() {
            continue;
        }
        if path.is_dir() {
            add_below(archive, root, &path, is_wanted)?;
        } else {
            add(archive, printable(path.strip_prefix(root)?)?, &path)?;
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

/// A path of this machine as the archive has it.
pub(super) fn inside(path: &Path) -> Result<&str> {
    Ok(printable(path)?.trim_start_matches('/'))
}

pub(super) fn printable(path: &Path) -> Result<&str> {
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
}
