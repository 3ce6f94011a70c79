//! Installs what the programs need, pinned, below target/programs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use crate::catalogue::{Program, Source};

/// Where the applications lie.
pub(crate) const APPS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/apps");

/// The servers in Rust.
const RUST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/rust/Cargo.toml");

/// Where things were installed.
#[derive(Debug)]
pub(crate) struct Installed {
    pub(crate) venv: PathBuf,
    pub(crate) node_modules: PathBuf,
    pub(crate) built: PathBuf,
    /// Where what came of each program is kept.
    pub(crate) results: PathBuf,
    /// Go's command, where Go programs are asked for.
    pub(crate) go: PathBuf,
}

impl Installed {
    /// A text with the directories in it.
    pub(crate) fn fill(&self, text: &str) -> String {
        text.replace("{venv}", &self.venv.display().to_string()).replace("{built}", &self.built.display().to_string())
    }
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
        built: target.join("built"),
        results: target.join("results"),
        go: PathBuf::new(),
    };
    let wants = |source| programs.iter().any(|program| program.source == source);
    let packages: Vec<&str> = programs.iter().flat_map(|program| packages(program.source)).copied().collect();
    apt(&packages, offline)?;
    if wants(Source::Pip) {
        let written = |text: &str| once(&target.join("venv/requirements.txt"), text, offline, || pip(&installed.venv));
        written(include_str!("../requirements.txt"))?;
    }
    if wants(Source::Npm) {
        let node = target.join("node");
        once(&node.join("installed.json"), include_str!("../package.json"), offline, || npm(&node))?;
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
        Source::Npm => &["nodejs", "npm"],
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
        None => bail!("there is no Go below {}; `cargo xtask setup` installs it", below.display()),
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

fn pip(venv: &Path) -> Result<()> {
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(venv))?;
    let requirements = concat!(env!("CARGO_MANIFEST_DIR"), "/requirements.txt");
    run(Command::new(venv.join("bin/pip")).args(["install", "--quiet", "--requirement", requirements]))
}

fn npm(node: &Path) -> Result<()> {
    fs::create_dir_all(node).with_context(|| format!("cannot make {}", node.display()))?;
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/package.json"), node.join("package.json"))?;
    run(Command::new("npm").args(["install", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(node))
}

fn apt(packages: &[&str], offline: bool) -> Result<()> {
    let is_installed = |package: &&&str| {
        let mut query = Command::new("dpkg-query");
        query.args(["-W", "-f=${db:Status-Abbrev}", package]).stderr(Stdio::null());
        query.output().is_ok_and(|out| out.stdout.starts_with(b"ii"))
    };
    // A Python or Node that is not Debian's will do.
    let on_path = |package: &&&str| {
        let program = match **package {
            "python3" | "python3-venv" => "python3",
            "nodejs" => "node",
            "npm" => "npm",
            "openjdk-17-jdk-headless" => "javac",
            _ => return false,
        };
        Command::new(program).arg("--version").output().is_ok_and(|out| out.status.success())
    };
    let mut missing: Vec<&str> =
        packages.iter().filter(|package| !on_path(package) && !is_installed(package)).copied().collect();
    missing.sort_unstable();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    ensure!(!offline, "these packages are missing: {}", missing.join(" "));
    let mut update = Command::new("apt-get");
    run(update.args(["-q", "update"]))?;
    let mut install = Command::new("apt-get");
    install.args(["-q", "install", "-y", "--no-install-recommends"]).args(missing);
    // The servers are not to be started by their packages.
    let policy = Path::new("/usr/sbin/policy-rc.d");
    let ours = !policy.exists();
    if ours {
        fs::write(policy, "#!/bin/sh\nexit 101\n")?;
        run(Command::new("chmod").arg("755").arg(policy))?;
    }
    let done = run(install.env("DEBIAN_FRONTEND", "noninteractive"));
    if ours {
        fs::remove_file(policy)?;
    }
    done
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{command:?} failed ({status})");
    Ok(())
}
