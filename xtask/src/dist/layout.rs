//! The tree that every package is made of: as /usr is laid out, and so is /usr/local.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::{directory, target::Machine};
use llb_kit::{paths, sh};

/// Where llb's units, and its pages about what they need, look for it.
const BY_HAND: &str = "/usr/local/bin/llb";
const PACKAGED: &str = "/usr/bin/llb";

/// Has systemd read the units anew. It starts and restarts nothing: a fleet needs its file first, and a running one is for the
/// operator to hand over.
const RELOAD_UNITS: &str = "#!/bin/sh\nif [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi\n";

/// cargo-generate-rpm packs files without their directories, so rpm removes none. One that is not empty is another version's.
const REMOVE_DIRECTORIES: &str =
    "rmdir /usr/share/llb /usr/share/doc/llb/examples /usr/share/doc/llb 2> /dev/null || true\n";

/// The tree, and the units of it that were written for another place.
pub(crate) struct Stage(PathBuf);

impl Stage {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    fn add(&self, from: &str, to: &str) -> Result<()> {
        let text = fs::read(paths::root().join(from)).with_context(|| format!("cannot read {from}"))?;
        self.write(to, &text, 0o644)
    }

    fn write(&self, to: &str, bytes: &[u8], mode: u32) -> Result<()> {
        let to = self.0.join(to);
        write(&to, bytes, mode).with_context(|| format!("cannot write {}", to.display()))
    }

    /// The units, for a binary in `place`.
    pub(crate) fn units_for(&self, place: &str) -> Result<()> {
        for unit in ["llb.service", "llb@.service", "llb-unprivileged.service"] {
            let text = fs::read_to_string(paths::root().join("dist").join(unit)).context("cannot read a unit")?;
            let text = text.replace(BY_HAND, place);
            self.write(&format!("lib/systemd/system/{unit}"), text.as_bytes(), 0o644)?;
        }
        Ok(())
    }
}

fn write(to: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    fs::create_dir_all(to.parent().unwrap_or(to))?;
    fs::write(to, bytes)?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode))
}

/// Builds llb for a machine, and puts all that is packaged in its place.
pub(crate) fn fill(machine: Machine) -> Result<Stage> {
    let stage = Stage(directory().join("stage"));
    if stage.0.exists() {
        fs::remove_dir_all(&stage.0).with_context(|| format!("cannot remove {}", stage.0.display()))?;
    }
    let binary = machine.build()?;
    let bytes = fs::read(&binary).with_context(|| format!("cannot read {}", binary.display()))?;
    stage.write("bin/llb", &bytes, 0o755)?;

    let mut pages = Command::new(sh::cargo());
    pages.args(["run", "--quiet", "--locked", "--package", "llb-pages", "--"]).arg(stage.0.join("share"));
    sh::run(pages.current_dir(paths::root()))?;

    stage.units_for(PACKAGED)?;
    for (from, to) in [
        ("LICENSE-APACHE", "share/doc/llb/LICENSE-APACHE"),
        ("LICENSE-MIT", "share/doc/llb/LICENSE-MIT"),
        ("CHANGELOG.md", "share/doc/llb/CHANGELOG.md"),
        ("examples/llb.toml", "share/doc/llb/examples/llb.toml"),
        ("dist/grafana-dashboard.json", "share/llb/grafana-dashboard.json"),
        ("dist/llb.rules.yml", "share/llb/llb.rules.yml"),
    ] {
        stage.add(from, to)?;
    }
    for (script, text) in
        [("postinst", RELOAD_UNITS.to_owned()), ("postrm", format!("{RELOAD_UNITS}{REMOVE_DIRECTORIES}"))]
    {
        write(&directory().join("scripts").join(script), text.as_bytes(), 0o755)?;
    }
    Ok(stage)
}

/// Changes the units to those of a tree that is unpacked to /usr/local.
pub(crate) fn by_hand(stage: &Stage) -> Result<()> {
    stage.units_for(BY_HAND)
}
