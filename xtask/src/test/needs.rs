//! The programs that the integration tests run.

use anyhow::Result;

use crate::{apt, sh};

/// A program, and the Debian packages that have it.
struct Need {
    program: &'static str,
    packages: &'static [&'static str],
    /// The service that comes with them, and that nobody asked for.
    service: Option<&'static str>,
}

impl Need {
    const fn new(program: &'static str, packages: &'static [&'static str]) -> Self {
        Self { program, packages, service: None }
    }
}

const NEEDS: [Need; 10] = [
    Need::new("python3", &["python3"]),
    Need::new("node", &["nodejs"]),
    Need { program: "nginx", packages: &["nginx-light"], service: Some("nginx") },
    Need { program: "unbound", packages: &["unbound"], service: Some("unbound") },
    Need::new("ip", &["iproute2"]),
    Need::new("systemd-notify", &["systemd"]),
    Need::new("tmux", &["tmux"]),
    // With promtool. What it scrapes here is a test's own, and so is its configuration.
    Need { program: "prometheus", packages: &["prometheus"], service: Some("prometheus") },
    Need { program: "haproxy", packages: &["haproxy"], service: Some("haproxy") },
    // libc6-dev has the archives that a statically linked worker is made of.
    Need::new("gcc", &["gcc", "libc6-dev"]),
];

/// The peers of a benchmark that are programs of their own, and what makes its network.
const BENCH_NEEDS: [Need; 4] = [
    Need { program: "haproxy", packages: &["haproxy"], service: Some("haproxy") },
    Need { program: "nginx", packages: &["nginx-light"], service: Some("nginx") },
    Need::new("node", &["nodejs"]),
    Need::new("ip", &["iproute2"]),
];

/// What fetches the Go toolchain.
const PIP: [Need; 1] = [Need::new("pip3", &["python3-pip"])];

/// Installs what the integration tests miss, or says how to.
pub(crate) fn provide() -> Result<()> {
    provide_these(&NEEDS)
}

/// Installs what a benchmark misses, or says how to.
pub(crate) fn provide_for_bench() -> Result<()> {
    provide_these(&BENCH_NEEDS)
}

/// Installs pip if it is missing, or says how to.
pub(crate) fn provide_pip() -> Result<()> {
    provide_these(&PIP)
}

fn provide_these(needs: &'static [Need]) -> Result<()> {
    let missing = missing(needs, |program| sh::find(program).is_some());
    apt::install(&packages_of(&missing))?;
    for service in missing.iter().filter_map(|need| need.service) {
        apt::disable(service)?;
    }
    Ok(())
}

/// The programs that are not there.
fn missing(needs: &'static [Need], is_there: impl Fn(&str) -> bool) -> Vec<&'static Need> {
    needs.iter().filter(|need| !is_there(need.program)).collect()
}

fn packages_of(needs: &[&Need]) -> Vec<&'static str> {
    needs.iter().flat_map(|need| need.packages).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_installed() {
        assert!(missing(&NEEDS, |_| true).is_empty());
        let two = missing(&NEEDS, |program| program != "node" && program != "gcc");
        assert_eq!(packages_of(&two), ["nodejs", "gcc", "libc6-dev"]);
    }
}
