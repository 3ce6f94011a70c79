//! The public API of the libraries, as a committed list: what changes there shows in a review. And each function and type of
//! it is shown in an example.

mod examples;

use std::{
    fs,
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};
use clap::Parser;
use public_api::Builder;

use llb_kit::{paths, sh};

/// The libraries: package, and name of the crate.
const LIBRARIES: [(&str, &str); 2] = [("llb-common", "llb_common"), ("llb-userspace", "llb")];

/// The first word is the chore's.
#[derive(Parser)]
#[command(name = "cargo xtask", about = "What lists the public API")]
enum Chore {
    /// List the public API of the libraries in their public-api.txt
    Api {
        /// Compare with the committed lists instead of replacing them
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let done = match Chore::parse() {
        Chore::Api { check: false } => write(),
        Chore::Api { check: true } => check(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("llb-api: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Writes the lists anew.
fn write() -> Result<()> {
    for (package, name) in LIBRARIES {
        let path = committed(package);
        fs::write(&path, list(package, name)?).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{} lists the public API of {package}", path.display());
    }
    Ok(())
}

/// Compares the committed lists with the sources, and looks for an example of each item.
fn check() -> Result<()> {
    let mut missing = Vec::new();
    for (package, name) in LIBRARIES {
        let path = committed(package);
        let known = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let now = list(package, name)?;
        let changed = changes(&known, &now);
        if !changed.is_empty() {
            bail!("{} is not what the sources give; run `cargo xtask api`:\n{}", path.display(), changed.join("\n"));
        }
        println!("{} is what the sources give: {} items", path.display(), now.lines().count());
        let [sources, programs] = ["src", "examples"].map(|directory| paths::root().join(package).join(directory));
        let words = examples::words(&sources, &[&programs, &paths::root().join("examples")])?;
        missing.extend(examples::missing(&now, &words).into_iter().map(str::to_owned));
    }
    if !missing.is_empty() {
        bail!("no example shows {} of these:\n{}", missing.len(), missing.join("\n"));
    }
    println!("examples show each function and type");
    Ok(())
}

/// A list of every public item, a line each.
fn list(package: &str, name: &str) -> Result<String> {
    let target = paths::root().join("target/api");
    let mut rustdoc = Command::new(sh::cargo());
    rustdoc.args(["rustdoc", "--quiet", "--package", package, "--lib", "--all-features", "--target-dir"]).arg(&target);
    rustdoc.args(["--", "-Zunstable-options", "--output-format", "json"]).current_dir(paths::root());
    // The toolchain's rustdoc writes it, but calls it unstable.
    sh::run(rustdoc.env("RUSTC_BOOTSTRAP", "1"))?;
    let json = target.join(format!("doc/{name}.json"));
    let api = Builder::from_rustdoc_json(&json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .with_context(|| format!("cannot understand {}", json.display()))?;
    Ok(api.items().map(|item| format!("{item}\n")).collect())
}

/// Beside the package's manifest, so that a packaged crate has it too.
fn committed(package: &str) -> PathBuf {
    paths::root().join(package).join("public-api.txt")
}

/// Lines that have come or gone.
fn changes(known: &str, now: &str) -> Vec<String> {
    let missing = |of: &str, from: &str, sign: char| {
        let lines: Vec<&str> = from.lines().collect();
        of.lines().filter(|line| !lines.contains(line)).map(|line| format!("{sign} {line}")).collect::<Vec<_>>()
    };
    [missing(known, now, '-'), missing(now, known, '+')].concat()
}

#[cfg(test)]
mod tests {
    use super::changes;

    #[test]
    fn what_has_come_and_what_has_gone_is_shown() {
        assert_eq!(changes("a\nb\n", "a\nb\n"), Vec::<String>::new());
        assert_eq!(changes("a\nb\n", "b\nc\n"), ["- a", "+ c"]);
    }
}
