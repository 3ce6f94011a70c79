//! Installs what the programs need, pinned, below target/programs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use llb_kit::{
    apt,
    sh::{self, run},
    venv::Venv,
};

use crate::program::{Program, Source};

/// Where the applications lie.
pub(crate) const APPS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/apps");

/// The servers in Rust.
const RUST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/rust/Cargo.toml");

/// Where things were installed.
#[derive(Debug)]
pub(crate) struct Installed {
    pub(crate) venv: PathBuf,
    pub(crate) node_modules: PathBuf,
    pub(crate) runtimes: PathBuf,
    pub(crate) built: PathBuf,
    /// Where what came of each program is kept.
    pub(crate) results: PathBuf,
    /// Go's command, where Go programs are asked for.
    pub(crate) go: PathBuf,
}

impl Installed {
    /// A shell's command with the directories in it.
    pub(crate) fn fill(&self, command: &str) -> String {
        let directories = [("{venv}", &self.venv), ("{built}", &self.built), ("{runtimes}", &self.runtimes)];
        directories.iter().fold(command.to_owned(), |command, (name, path)| command.replace(name, &quoted(path)))
    }
}

/// A path as a part of a word of the shell's.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// Installs what these programs need and is not there; says what is missing if it may install nothing.
pub(crate) fn provide(programs: &[Program], offline: bool) -> Result<Installed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let target = root.join("target/programs");
    for dir in ["built", "results"] {
        fs::create_dir_all(target.join(dir)).with_context(|| format!("cannot make {}", target.display()))?;
    }
    let mut installed = Installed {
        venv: target.join("venv"),
        node_modules: target.join("node/node_modules"),
        runtimes: target.join("runtimes/node_modules"),
        built: target.join("built"),
        results: target.join("results"),
        go: PathBuf::new(),
    };
    let wants = |source| programs.iter().any(|program| program.source == source);
    let mut packages: Vec<&str> = programs.iter().flat_map(|program| packages(program.source)).copied().collect();
    // Each program has a network of its own.
    packages.push("iproute2");
    install(&packages, offline)?;
    if wants(Source::Pip) {
        let requirements = concat!(env!("CARGO_MANIFEST_DIR"), "/requirements.txt").into();
        let venv = Venv { dir: installed.venv.clone(), requirements };
        ensure!(
            venv.is_there() || !offline,
            "{} is not up to date, and nothing is to be installed",
            venv.dir.display()
        );
        if !venv.is_there() {
            venv.provide()?;
        }
    }
    for (source, dir, text) in [
        (Source::Npm, "node", include_str!("../package.json")),
        (Source::Runtime, "runtimes", include_str!("../runtimes.json")),
    ] {
        let dir = target.join(dir);
        if wants(source) {
            once(&dir.join("installed.json"), text, offline, || npm(&dir, text))?;
        }
    }
    if wants(Source::Go) {
        installed.go = find_go(&root.join("target/go"))?;
        let mut build = Command::new(&installed.go);
        build.args(["build", "-o"]).arg(installed.built.join("app")).arg(Path::new(APPS).join("app.go"));
        run(build.env("GOCACHE", target.join("go")).env("GOFLAGS", "-mod=mod").env("GO111MODULE", "off"))?;
    }
    if wants(Source::Java) {
        run(Command::new("javac").arg("-d").arg(&installed.built).arg(Path::new(APPS).join("App.java")))?;
    }
    if wants(Source::Cargo) {
        let mut build = Command::new("cargo");
        build.args(["build", "--quiet", "--release", "--locked", "--manifest-path", RUST, "--target-dir"]);
        run(build.arg(target.join("rust")))?;
        for name in ["axum", "actix"] {
            fs::copy(target.join("rust/release").join(name), installed.built.join(name))?;
        }
    }
    Ok(installed)
}

fn packages(source: Source) -> &'static [&'static str] {
    match source {
        Source::Pip => &["python3", "python3-venv"],
        Source::Npm | Source::Runtime => &["nodejs", "npm"],
        Source::Apt(packages) => packages,
        Source::Go | Source::Cargo => &[],
        Source::Java => &["openjdk-17-jdk-headless"],
    }
}

fn find_go(below: &Path) -> Result<PathBuf> {
    let found = Command::new("find").arg(below).args(["-type", "f", "-name", "go", "-path", "*/bin/go"]).output()?;
    let found = String::from_utf8_lossy(&found.stdout);
    match found.lines().next() {
        Some(path) => Ok(path.into()),
        None => bail!("there is no Go below {}; `cargo xtask setup programs` installs it", below.display()),
    }
}

/// Installs unless that has been done with the same text before.
fn once(stamp: &Path, text: &str, offline: bool, install: impl FnOnce() -> Result<()>) -> Result<()> {
    if fs::read_to_string(stamp).is_ok_and(|installed| installed == text) {
        return Ok(());
    }
    ensure!(!offline, "{} is not up to date, and nothing is to be installed", stamp.display());
    install()?;
    fs::write(stamp, text).with_context(|| format!("cannot write {}", stamp.display()))
}

fn npm(dir: &Path, text: &str) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    fs::write(dir.join("package.json"), text)?;
    run(Command::new("npm").args(["install", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(dir))
}

/// Installs those of Debian's packages that are missing.
fn install(packages: &[&str], offline: bool) -> Result<()> {
    let mut missing: Vec<&str> = packages.iter().copied().filter(|package| !is_there(package)).collect();
    missing.sort_unstable();
    missing.dedup();
    ensure!(!offline || missing.is_empty(), "these packages are missing: {}", missing.join(" "));
    apt::install(&missing)
}

/// Whether a package is installed, or what it is wanted for is there: a Python or Node that is not Debian's will do.
fn is_there(package: &str) -> bool {
    let does = |program: &str, args: &[&str]| sh::output(Command::new(program).args(args)).is_ok();
    let has_its_program = match package {
        "python3" => does("python3", &["--version"]),
        // Debian's Python has `venv` without it, which then finds no pip for a new environment.
        "python3-venv" => does("python3", &["-m", "ensurepip", "--version"]),
        "nodejs" => does("node", &["--version"]),
        "npm" => does("npm", &["--version"]),
        "openjdk-17-jdk-headless" => does("javac", &["--version"]),
        _ => false,
    };
    has_its_program || apt::is_installed(package)
}
