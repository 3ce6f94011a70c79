//! What other fleets of this machine listen on, as far as it is this network namespace. The kernel would let two fleets share
//! a port, but has one selector for it: that of the last to join, which knows nobody else's workers.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
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

/// The ports of other fleets.
#[derive(Debug, Default)]
pub(crate) struct Others {
    looked: Option<Instant>,
    /// As in the kernel's map, those of UDP with [`TAKEN_UDP`].
    ports: BTreeMap<u32, String>,
}

impl Others {
    /// Looks again, if it has been a while; true if it has. `own` is the cgroup of this fleet.
    pub(crate) fn look(&mut self, own: &Path, now: Instant) -> bool {
        if self.looked.is_some_and(|looked| now < looked.after(LOOK_EVERY)) {
            return false;
        }
        self.looked = Some(now);
        let mut fleets = Vec::new();
        if let Ok(root) = mounts::cgroup_root() {
            collect(&root, own, &mut fleets);
        }
        self.ports.clear();
        if fleets.is_empty() {
            return true;
        }
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
                self.ports.extend(ports.map(|port| (*port, name.clone())));
            }
        }
        // Those of UDP come last.
        let beyond = self.ports.range(TAKEN_UDP..).nth(UDP_PORTS).map(|(port, _)| *port);
        beyond.map(|port| self.ports.split_off(&port));
        true
    }

    /// All of them.
    pub(crate) fn ports(&self) -> BTreeSet<u32> {
        self.ports.keys().copied().collect()
    }

    /// The fleet that listens on a port, or receives datagrams there.
    pub(crate) fn holder(&self, port: u16) -> Option<&str> {
        let port = u32::from(port);
        self.ports.get(&port).or_else(|| self.ports.get(&(TAKEN_UDP | port))).map(String::as_str)
    }
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
