//! `cargo xtask dist`: packages of llb, in target/dist/packages.

mod debian;
mod layout;
mod pack;
mod target;
mod tools;
mod trial;

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};

use self::{pack::Packages, target::Machine};
use llb_kit::{paths, sh};

#[derive(Debug, clap::Args)]
pub(crate) struct DistArgs {
    /// For this machine only
    #[arg(long, value_enum)]
    machine: Option<Machine>,
    /// Install, try and remove those of x86-64 in a system made of Debian's packages; asks for root
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(args: &DistArgs) -> Result<()> {
    let machines = args.machine.map_or_else(|| Machine::ALL.to_vec(), |one| vec![one]);
    let out = directory().join("packages");
    // What an earlier version left is no part of this one.
    match fs::remove_dir_all(&out) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", out.display()));
        }
        _ => fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?,
    }
    let tools = tools::provide()?;
    let mut made = Vec::new();
    for machine in machines {
        let stage = layout::fill(machine)?;
        made.push((machine, Packages::make(machine, &stage, &tools, &out)?));
    }
    pack::sum(&out)?;
    println!(
        "{}",
        sh::output(std::process::Command::new("ls").arg("-s").arg("--block-size=KiB").arg(&out))?.trim_end()
    );
    if args.check {
        for (machine, packages) in &made {
            trial::run(*machine, packages)?;
        }
    }
    Ok(())
}

/// What llb-userspace/Cargo.toml names, too.
fn directory() -> PathBuf {
    paths::root().join("target/dist")
}
