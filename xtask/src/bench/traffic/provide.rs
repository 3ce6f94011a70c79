//! Installs what the cells need and is not there, pinned, below target/traffic.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::test::{go, needs};
use crate::{paths, sh};

const REQUIREMENTS: &str = include_str!("requirements.txt");

/// Where things are.
#[derive(Clone, Debug)]
pub(super) struct Provided {
    /// The programs of this directory.
    pub(super) here: PathBuf,
    venv: PathBuf,
    pub(super) go_server: PathBuf,
    pub(super) certificate: PathBuf,
}

impl Provided {
    pub(super) fn python(&self) -> PathBuf {
        self.venv.join("bin/python")
    }
}

pub(super) fn provide() -> Result<Provided> {
    needs::provide_for_bench()?;
    let target = paths::root().join("target/traffic");
    fs::create_dir_all(&target).with_context(|| format!("cannot make {}", target.display()))?;
    let provided = Provided {
        here: paths::root().join("xtask/src/bench/traffic"),
        venv: target.join("venv"),
        go_server: target.join("server-go"),
        certificate: target.join("certificate.pem"),
    };
    python(&provided.venv)?;
    certificate(&provided.certificate)?;
    go::provide()?;
    let mut build = Command::new(paths::go().join("toolchain/go/bin/go"));
    build.args(["build", "-o"]).arg(&provided.go_server).arg(provided.here.join("server.go")).current_dir(paths::go());
    build.envs([("GOENV", "off"), ("GOPROXY", "off"), ("GOTOOLCHAIN", "local"), ("GO111MODULE", "off")]);
    sh::run(build.env("GOCACHE", paths::go().join("cache")).env("GOPATH", paths::go().join("path")))?;
    Ok(provided)
}

fn python(venv: &Path) -> Result<()> {
    // Written when all else has succeeded.
    let installed = venv.join("requirements.txt");
    if fs::read_to_string(&installed).is_ok_and(|text| text == REQUIREMENTS) {
        return Ok(());
    }
    sh::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(venv))?;
    let requirements = paths::root().join("xtask/src/bench/traffic/requirements.txt");
    sh::run(Command::new(venv.join("bin/pip")).args(["install", "--quiet", "--requirement"]).arg(requirements))?;
    fs::write(&installed, REQUIREMENTS).with_context(|| format!("cannot write {}", installed.display()))
}

/// A key and its certificate in one file.
fn certificate(file: &Path) -> Result<()> {
    if file.exists() {
        return Ok(());
    }
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    openssl.args(["-days", "3650", "-subj", "/CN=localhost", "-keyout"]).arg(file).arg("-out");
    let certificate = file.with_extension("crt");
    sh::run(openssl.arg(&certificate))?;
    let pem = fs::read_to_string(file)? + &fs::read_to_string(&certificate)?;
    fs::write(file, pem).with_context(|| format!("cannot write {}", file.display()))
}
