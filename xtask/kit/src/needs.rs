//! The programs that chores run, and whether this machine has them.

use anyhow::{Context, Result, bail};

use crate::{
    apt, paths,
    pip::{AIOQUIC, CADDY, GO as GO_TOOLCHAIN, GRPCIO, Packages},
    sh,
    source::{self, Source},
    venv::Venv,
};

/// A program, and the Debian packages that have it.
struct Program {
    /// Its name, or its path if no other will do.
    name: &'static str,
    packages: &'static [&'static str],
    /// The service that comes with them, and that nobody asked for.
    service: Option<&'static str>,
}

impl Program {
    const fn new(name: &'static str, packages: &'static [&'static str]) -> Self {
        Self { name, packages, service: None }
    }

    const fn server(name: &'static str, packages: &'static [&'static str]) -> Self {
        Self { name, packages, service: Some(name) }
    }

    fn is_there(&self) -> bool {
        sh::find(self.name).is_some()
    }
}

const HAPROXY: Program = Program::server("haproxy", &["haproxy"]);
const IP: Program = Program::new("ip", &["iproute2"]);
const NGINX: Program = Program::server("nginx", &["nginx-light"]);
const NODE: Program = Program::new("node", &["nodejs"]);
/// libc6-dev has the archives that a statically linked worker is made of.
const GCC: Program = Program::new("gcc", &["gcc", "libc6-dev"]);

/// What a chore needs.
pub struct Needs {
    /// What a reader types to have it installed.
    setup: &'static str,
    programs: &'static [Program],
    packages: &'static [Packages],
    sources: &'static [Source],
    python: Option<fn() -> Venv>,
}

/// What the integration tests run.
pub const TEST: Needs = Needs {
    setup: "cargo xtask setup",
    programs: &[
        Program::new("python3", &["python3"]),
        NODE,
        NGINX,
        Program::server("unbound", &["unbound"]),
        IP,
        Program::new("systemd-notify", &["systemd"]),
        Program::new("tmux", &["tmux"]),
        Program::new("openssl", &["openssl"]),
        Program::new("curl", &["curl"]),
        Program::new("capsh", &["libcap2-bin"]),
        // With promtool. What it scrapes here is a test's own, and so is its configuration.
        Program::server("prometheus", &["prometheus"]),
        HAPROXY,
        Program::new("podman", &["podman"]),
        Program::new("runc", &["runc"]),
        Program::new("jq", &["jq"]),
        GCC,
        // What nginx is built with.
        Program::new("make", &["make"]),
        Program::new("/usr/include/openssl/ssl.h", &["libssl-dev"]),
    ],
    packages: &[GO_TOOLCHAIN, AIOQUIC, GRPCIO, CADDY],
    sources: &[source::NGINX],
    python: None,
};

/// The benchmark's peers that are programs of their own, and what makes its network.
pub const BENCH: Needs = Needs {
    setup: "cargo xtask setup bench",
    programs: &[HAPROXY, NGINX, NODE, IP],
    packages: &[],
    sources: &[],
    python: None,
};

/// What the benchmark's set of real traffic runs beside those.
pub const TRAFFIC: Needs = Needs {
    setup: "cargo xtask setup bench",
    programs: &[HAPROXY, NGINX, NODE, IP, Program::new("openssl", &["openssl"])],
    packages: &[GO_TOOLCHAIN],
    sources: &[],
    python: Some(traffic_venv),
};

/// libFuzzer is C++.
pub const FUZZ: Needs = Needs {
    setup: "cargo xtask setup fuzz",
    programs: &[Program::new("c++", &["g++"])],
    packages: &[],
    sources: &[],
    python: None,
};

/// What the virtual machines run on, and what is compiled and copied into them.
pub const VM: Needs = Needs {
    setup: "cargo xtask setup vm",
    programs: &[
        Program::new("qemu-system-x86_64", &["qemu-system-x86"]),
        GCC,
        // The distribution's: one that comes before it in the path is not as easily copied.
        Program::new("/usr/bin/python3", &["python3"]),
        IP,
        Program::new("/usr/bin/systemctl", &["systemd"]),
        // For aarch64: the machine, what it has of Debian's packages, and a compiler.
        Program::new("qemu-system-aarch64", &["qemu-system-arm"]),
        Program::new("mmdebstrap", &["mmdebstrap"]),
        Program::new("aarch64-linux-gnu-gcc", &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"]),
    ],
    packages: &[],
    sources: &[],
    python: None,
};

/// Go alone.
pub const GO: Needs =
    Needs { setup: "cargo xtask setup", programs: &[], packages: &[GO_TOOLCHAIN], sources: &[], python: None };

/// What fetches packages into target/.
const PIP: Program = Program::new("pip3", &["python3-pip"]);

/// What makes Python environments.
const VENV: Program = Program::new("python3", &["python3", "python3-venv"]);

/// The clients and servers in Python of the benchmark's real traffic.
pub fn traffic_venv() -> Venv {
    Venv {
        dir: paths::root().join("target/traffic/venv"),
        requirements: paths::root().join("xtask/bench/src/traffic/requirements.txt"),
    }
}

impl Needs {
    /// Fails if something is missing: names it, and what installs it.
    ///
    /// # Errors
    /// If something is missing.
    pub fn check(&self) -> Result<()> {
        let mut missing: Vec<_> =
            self.missing(Program::is_there).iter().map(|program| program.name.to_owned()).collect();
        missing.extend(self.packages.iter().filter(|some| !some.are_there()).map(|some| some.name.to_owned()));
        missing.extend(self.sources.iter().filter(|some| !some.is_built()).map(|some| some.name.to_owned()));
        if let Some(venv) = self.python.map(|venv| venv()).filter(|venv| !venv.is_there()) {
            missing.push(format!("the Python packages of {}", venv.requirements.display()));
        }
        if !missing.is_empty() {
            bail!("these are missing: {}. This installs them: {}", missing.join(", "), self.setup);
        }
        Ok(())
    }

    /// Installs what is missing, or says how to.
    ///
    /// # Errors
    /// If it cannot be installed, or we may not.
    pub fn provide(&self) -> Result<()> {
        let mut missing = self.missing(Program::is_there);
        let wants_pip = self.packages.iter().any(|some| !some.are_there()) && !PIP.is_there();
        missing.extend(wants_pip.then_some(&PIP));
        let venv = self.python.map(|venv| venv()).filter(|venv| !venv.is_there());
        missing.extend((venv.is_some() && !VENV.is_there()).then_some(&VENV));
        apt::install(&packages_of(&missing))?;
        for service in missing.iter().filter_map(|program| program.service) {
            apt::disable(service)?;
        }
        self.packages.iter().try_for_each(Packages::provide)?;
        self.sources.iter().try_for_each(Source::provide)?;
        venv.map_or(Ok(()), |venv| venv.provide()).context("cannot install the Python packages")
    }

    /// The programs that are not there.
    fn missing(&self, is_there: impl Fn(&Program) -> bool) -> Vec<&'static Program> {
        self.programs.iter().filter(|program| !is_there(program)).collect()
    }
}

fn packages_of(programs: &[&Program]) -> Vec<&'static str> {
    programs.iter().flat_map(|program| program.packages).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_installed() {
        assert!(TEST.missing(|_| true).is_empty());
        let two = TEST.missing(|program| program.name != "node" && program.name != "gcc");
        assert_eq!(packages_of(&two), ["nodejs", "gcc", "libc6-dev"]);
    }

    #[test]
    fn what_is_missing_is_named_with_what_installs_it() {
        const NOTHING: Needs =
            Needs { setup: "cargo xtask setup x", programs: &[IP, Program::new("/no/such/program", &["x"])], ..FUZZ };
        let error = NOTHING.check().unwrap_err().to_string();
        assert!(error.ends_with("/no/such/program. This installs them: cargo xtask setup x"), "{error}");
    }
}
