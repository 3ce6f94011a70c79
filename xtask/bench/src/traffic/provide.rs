//! What the cells run: found, or compiled below target/traffic.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use llb_kit::{needs, paths, sh};

/// Where things are.
#[derive(Clone, Debug)]
pub(super) struct Provided {
    /// The programs of this directory.
    pub(super) here: PathBuf,
    pub(super) python: PathBuf,
    pub(super) go_server: PathBuf,
    pub(super) certificate: PathBuf,
}

pub(super) fn provide() -> Result<Provided> {
    needs::TRAFFIC.check()?;
    let target = paths::root().join("target/traffic");
    fs::create_dir_all(&target).with_context(|| format!("cannot make {}", target.display()))?;
    let provided = Provided {
        here: paths::root().join("xtask/bench/src/traffic"),
        python: needs::traffic_venv().python(),
        go_server: target.join("server-go"),
        certificate: target.join("certificate.pem"),
    };
    certificate(&provided.certificate)?;
    let mut build = Command::new(paths::go().join("toolchain/go/bin/go"));
    build.args(["build", "-o"]).arg(&provided.go_server).arg(provided.here.join("server.go")).current_dir(paths::go());
    build.envs([("GOENV", "off"), ("GOPROXY", "off"), ("GOTOOLCHAIN", "local"), ("GO111MODULE", "off")]);
    sh::run(build.env("GOCACHE", paths::go().join("cache")).env("GOPATH", paths::go().join("path")))?;
    Ok(provided)
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
