//! Builds llb and shows what it does.

use std::process::Command;

use anyhow::{Context, Result, bail};

use llb_kit::{paths, sh};

/// The profile of Cargo.toml that it is built by, which is compiled sooner than a release.
const PROFILE: &str = "demo";

/// Builds llb and runs its demo, as root, which it needs to load programs into the kernel.
pub(crate) fn run() -> Result<()> {
    let build = ["build", "--profile", PROFILE, "--package", "llb-userspace"];
    sh::run(Command::new(sh::cargo()).args(build).current_dir(paths::root()))?;
    let llb = paths::built(PROFILE).join("llb");
    let mut demo = if sh::is_root()? {
        Command::new(&llb)
    } else {
        let sudo = sh::find("sudo").context("the demo needs root and there is no sudo here; run this as root")?;
        let mut demo = Command::new(sudo);
        demo.arg(&llb);
        demo
    };
    if !llb.is_file() {
        bail!(
            "cargo has not put the binary at {}; is there a target directory in cargo's configuration?",
            llb.display()
        );
    }
    sh::run(demo.arg("demo"))
}
