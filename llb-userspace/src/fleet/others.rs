//! What other fleets of this machine listen on, as far as it is this network namespace. The kernel would let two fleets share
//! a port, but has one selector for it: that of the last to join, which knows nobody else's workers.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, mem,
    path::{Path, PathBuf},
    time::Duration,
};

use llb_common::abi::TAKEN_UDP;
use nix::unistd::Pid;

use super::cgroup;
use crate::{
    model::Instant,
    sys::{endpoint::Endpoint, mounts, procfs, procnet},
};

/// The least time between two looks: workers of one fleet are started together.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// So many UDP ports are known, the lowest: a resolver has thousands that it asks from, and servers' own are lower as a rule.
const UDP_PORTS: usize = 256;

/// Ports, as in the kernel's map, those of UDP with [`TAKEN_UDP`], and whose they are.
type Ports = BTreeMap<u32, String>;

/// The ports of other fleets.
#[derive(Debug, Default)]
pub(crate) struct Others {
    looked: Option<Instant>,
    ports: Ports,
    /// Whether nobody has asked for them since the last look.
    is_new: bool,
}

impl Others {
    /// Whether it has been a while since the last look.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.looked.is_none_or(|looked| now >= looked.after(LOOK_EVERY))
    }

    /// What a look has found.
    pub(crate) fn found(&mut self, ports: Ports, now: Instant) {
        (self.ports, self.looked, self.is_new) = (ports, Some(now), true);
    }

    /// All of them, if they may be others than when this was asked last.
    pub(crate) fn news(&mut self) -> Option<BTreeSet<u32>> {
        mem::take(&mut self.is_new).then(|| self.ports.keys().copied().collect())
    }

    /// The fleet that listens on a port, or receives datagrams there.
    pub(crate) fn holder(&self, port: u16) -> Option<&str> {
        let port = u32::from(port);
        self.ports.get(&port).or_else(|| self.ports.get(&(TAKEN_UDP | port))).map(String::as_str)
    }
}

/// Looks for them. `own` is the cgroup of this fleet. The others may have thousands of descriptors, and the machine thousands of sockets.
pub(crate) fn look(own: &Path) -> Ports {
    let mut fleets = Vec::new();
    if let Ok(root) = mounts::cgroup_root() {
        collect(&root, own, &mut fleets);
    }
    let mut taken = Ports::new();
    if !fleets.is_empty() {
        // Inodes of sockets are unique, and the table has those of this network namespace alone.
        let listeners: BTreeMap<u64, u32> = procnet::reachable(Pid::this())
            .unwrap_or_default()
            .into_iter()
            .filter_map(|socket| match socket.endpoint {
                Endpoint::Tcp(address) => Some((socket.inode, address.port().into())),
                Endpoint::Udp(address) => Some((socket.inode, TAKEN_UDP | u32::from(address.port()))),
                Endpoint::Unix(_) => None,
            })
            .collect();
        for (path, name) in fleets {
            for pid in cgroup::processes(&path).unwrap_or_default() {
                let sockets = procfs::socket_fds(pid).unwrap_or_default();
                let ports = sockets.iter().filter_map(|socket| listeners.get(&socket.inode));
                taken.extend(ports.map(|port| (*port, name.clone())));
            }
        }
        // Those of UDP come last.
        let beyond = taken.range(TAKEN_UDP..).nth(UDP_PORTS).map(|(port, _)| *port);
        beyond.map(|port| taken.split_off(&port));
    }
    taken
}

/// The cgroups of fleets in `directory` and below, but for `own`, with the fleets' names.
fn collect(directory: &Path, own: &Path, fleets: &mut Vec<(PathBuf, String)>) {
    // What vanishes while we look is not there.
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let path = entry.path();
        if path == own {
            continue;
        }
        match cgroup::fleet_name(&path) {
            Some(name) => fleets.push((path, name)),
            None => collect(&path, own, fleets),
        }
    }
}
