//! A network namespace for the whole run: nobody else's traffic, ports or firewall rules are in the way, and ours are in
//! nobody's.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, unshare};

use llb_kit::sh;

/// Ports that clients may have: a closed loop uses up the usual 28,000 in a second.
const CLIENT_PORTS: &str = "10000 65000";

/// Moves this process there. To be called before it has threads, as each has a namespace of its own. The namespace ends
/// with the last process in it.
pub(crate) fn enter() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace; run this as root")?;
    sh::run(Command::new("ip").args(["link", "set", "lo", "up"])).context("the loopback device does not come up")?;
    fs::write("/proc/sys/net/ipv4/ip_local_port_range", CLIENT_PORTS).context("cannot set the range of client ports")
}
