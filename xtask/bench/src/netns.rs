//! Namespaces for the whole run. The network: nobody else's traffic, ports or firewall rules are in the way, and ours are in
//! nobody's. The mounts: llb's BPF file systems go with the last process, whatever has ended it.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, unshare};

use llb_kit::sh;

/// Ports that clients may have: a closed loop uses up the usual 28,000 in a second.
const CLIENT_PORTS: &str = "10000 65000";

/// Moves this process there. To be called before it has threads, as each has namespaces of its own. They end with the last
/// process in them.
pub(crate) fn enter() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).context("cannot make namespaces; run this as root")?;
    // Else what is mounted here is mounted in the namespace that we come from too.
    sh::run(Command::new("mount").args(["--make-rslave", "/"])).context("cannot keep mounts to ourselves")?;
    sh::run(Command::new("ip").args(["link", "set", "lo", "up"])).context("the loopback device does not come up")?;
    fs::write("/proc/sys/net/ipv4/ip_local_port_range", CLIENT_PORTS).context("cannot set the range of client ports")
}
