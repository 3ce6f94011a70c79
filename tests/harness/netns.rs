//! A network namespace for one test: the calling thread moves into it, so that everything it starts (the fleet, its
//! clients, its own threads) is in there as well, and no port of it can be in anybody's way.

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
};

use nix::sched::{CloneFlags, setns, unshare};

/// The thread's new network namespace. Dropping it leads the thread back.
#[derive(Debug)]
pub(crate) struct Netns {
    before: File,
}

impl Netns {
    /// Moves the calling thread into a new namespace in which loopback works, over IPv4 and IPv6.
    pub(crate) fn enter() -> Self {
        let before = File::open("/proc/thread-self/ns/net").expect("the thread's network namespace");
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace: these tests need root");
        let netns = Netns { before };
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().expect("ip, of iproute2");
        assert!(up.success(), "ip link set lo up: {up}");
        enable_ipv6();
        netns
    }
}

/// A machine whose administrator has switched IPv6 off may do so for new namespaces too. Here it is ours to switch on.
fn enable_ipv6() {
    for interfaces in ["all", "default"] {
        let switch = Path::new("/proc/sys/net/ipv6/conf").join(interfaces).join("disable_ipv6");
        // Written only where it must be: /proc/sys may be read-only. A kernel without IPv6 has no such switch.
        if fs::read_to_string(&switch).is_ok_and(|is| is.trim() != "0") {
            fs::write(&switch, "0").expect("a namespace of our own");
        }
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        // A thread that cannot go back ends with its test; the next one has a thread, or enters a namespace, of its own.
        let _ = setns(&self.before, CloneFlags::CLONE_NEWNET);
    }
}
