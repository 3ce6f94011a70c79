//! The rights of this process.

use std::{fmt, fs, io};

/// A right that root's processes have and others can be given; the numbers are the kernel's (capability.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Capability {
    /// To attach programs that see packets and sockets.
    NetAdmin = 12,
    /// To look into another user's processes.
    SysPtrace = 19,
    /// Stands in for the finer ones below, which were once part of it, and for [`NetAdmin`](Capability::NetAdmin)
    /// where programs are concerned.
    SysAdmin = 21,
    /// To load programs that do arithmetic on pointers.
    Perfmon = 38,
    /// To load programs and make maps.
    Bpf = 39,
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Capability::NetAdmin => "CAP_NET_ADMIN",
            Capability::SysPtrace => "CAP_SYS_PTRACE",
            Capability::SysAdmin => "CAP_SYS_ADMIN",
            Capability::Perfmon => "CAP_PERFMON",
            Capability::Bpf => "CAP_BPF",
        })
    }
}

/// A set of capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities(u64);

impl Capabilities {
    /// Whether one is in the set.
    #[must_use]
    pub fn has(self, capability: Capability) -> bool {
        self.0 >> (capability as u8) & 1 == 1
    }
}

/// The effective ones of this process: what the kernel asks for when something is tried.
///
/// # Errors
/// If /proc cannot be read, or is not understood.
pub fn own() -> io::Result<Capabilities> {
    parse(&fs::read_to_string("/proc/self/status")?).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn parse(status: &str) -> Option<Capabilities> {
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(set.trim(), 16).ok().map(Capabilities)
}

#[cfg(test)]
mod tests {
    use super::{Capability, own, parse};

    #[test]
    fn the_effective_set_is_read() {
        let set = parse("Name:\tllb\nCapPrm:\tffffffffffffffff\nCapEff:\t0000008000001000\nCapBnd:\t0\n").unwrap();
        assert!(set.has(Capability::Bpf) && set.has(Capability::NetAdmin));
        assert!(!set.has(Capability::SysAdmin) && !set.has(Capability::Perfmon) && !set.has(Capability::SysPtrace));
        assert_eq!(parse("Name:\tllb\n"), None);
        own().unwrap();
    }
}
