//! A fleet that has come up, and the line that says so.

use std::net::SocketAddr;

use crate::{
    config::{Config, ReadyWhen},
    observe::stderr,
};

/// A fleet of which every slot has been ready once.
///
/// ```no_run
/// use llb::{Fleet, Up};
///
/// # fn main() -> Result<(), llb::FleetError> {
/// let fleet = Fleet::builder("python3", ["-m", "http.server", "8080"]).spawn()?;
/// let Up { addresses, serving, .. } = fleet.up();
/// println!("{serving} workers serve on {addresses:?}");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Up {
    /// The addresses that are steered.
    pub addresses: Vec<SocketAddr>,
    /// The same of UDP.
    pub udp: Vec<SocketAddr>,
    /// How many workers serve: fewer than there are slots where some have never become ready.
    pub serving: u32,
    /// What was asked for.
    pub(crate) config: Config,
}

pub(super) type Announce = Box<dyn FnOnce(&Up)>;

/// The one line that says that the fleet serves.
pub(super) fn announce(up: &Up) {
    let udp = up.udp.iter().map(|address| format!("udp {address}"));
    let addresses: Vec<String> = up.addresses.iter().map(SocketAddr::to_string).chain(udp).collect();
    let Config { program, name, policy, .. } = &up.config;
    let workers = match up.config.workers {
        all if all == up.serving => all.to_string(),
        all => format!("{} of {all}", up.serving),
    };
    if addresses.is_empty() && up.config.ready_when == ReadyWhen::Started {
        stderr::line(&format!(
            "llb: serving with {workers} workers of {} (fleet {name}, {}), each steered as soon as it listens",
            program.display(),
            policy.name(),
        ));
        return;
    }
    if addresses.is_empty() {
        stderr::line(
            "llb: serving by the kernel's hash alone: no listener could be steered; the warnings above say why",
        );
        return;
    }
    stderr::line(&format!(
        "llb: serving {} with {workers} workers of {} (fleet {name}, {})",
        addresses.join(", "),
        program.display(),
        policy.name(),
    ));
}
