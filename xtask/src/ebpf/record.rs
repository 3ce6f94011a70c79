//! toolchain.txt, beside the committed object: what built it, and its hash.

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use llb_kit::sh;

/// Everything that decides the object's bytes, apart from its sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Versions {
    pub(crate) rustc: String,
    pub(crate) linker: String,
    pub(crate) objcopy: String,
    pub(crate) flags: String,
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) versions: Versions,
    pub(crate) sha256: String,
}

impl Versions {
    /// Whether both are the same programs, whatever flags they were given.
    pub(crate) fn same_programs(&self, other: &Self) -> bool {
        (&self.rustc, &self.linker, &self.objcopy) == (&other.rustc, &other.linker, &other.objcopy)
    }
}

impl Record {
    /// Reads the file at `path`.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}; `cargo xtask ebpf` writes it", path.display()))?;
        Self::parse(&text)
            .with_context(|| format!("{} is not what `cargo xtask ebpf` writes; run that", path.display()))
    }

    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            text.lines()
                .filter_map(|line| line.split_once(": "))
                .find(|(key, _)| *key == name)
                .map(|(_, v)| v.to_owned())
        };
        let versions = Versions {
            rustc: field("rustc")?,
            linker: field("linker")?,
            objcopy: field("objcopy")?,
            flags: field("flags")?,
        };
        Some(Self { versions, sha256: field("sha256")? })
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rustc, linker, objcopy, flags } = self;
        write!(f, "rustc: {rustc}\nlinker: {linker}\nobjcopy: {objcopy}\nflags: {flags}")
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# What built llb.bpf.o. `cargo xtask ebpf` writes this, `cargo xtask ebpf --check` compares.")?;
        writeln!(f, "{}\nsha256: {}", self.versions, self.sha256)
    }
}

/// A file's hash, by coreutils.
pub(crate) fn sha256(path: &Path) -> Result<String> {
    let said = sh::output(Command::new("sha256sum").arg("--").arg(path))?;
    let hash =
        said.split_whitespace().next().with_context(|| format!("sha256sum said nothing of {}", path.display()))?;
    Ok(hash.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            versions: Versions {
                rustc: "1.96.0 (commit ac68, LLVM 22.1.8)".into(),
                linker: "bpf-linker 0.13.0".into(),
                objcopy: "LLVM 22.1.8".into(),
                flags: "-C debuginfo=2 -C link-arg=--btf".into(),
            },
            sha256: "11c8".into(),
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        assert_eq!(Record::parse(&record().to_string()), Some(record()));
    }

    #[test]
    fn a_file_without_a_field_is_refused() {
        let text = record().to_string().replace("linker:", "loader:");
        assert_eq!(Record::parse(&text), None);
    }

    #[test]
    fn other_flags_are_still_the_same_programs() {
        let here = Versions { flags: String::new(), ..record().versions };
        assert!(here.same_programs(&record().versions));
        let here = Versions { objcopy: "LLVM 23.0.0".into(), ..record().versions };
        assert!(!here.same_programs(&record().versions));
    }
}
