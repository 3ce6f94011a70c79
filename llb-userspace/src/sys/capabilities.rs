//! The rights of this process.

use std::{fmt, io};

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

/// A right that root's processes have and others can be given; the numbers are the kernel's (capability.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Capability {
    /// To write to files and directories of others, and to do all of [`DacReadSearch`](Capability::DacReadSearch).
    DacOverride = 1,
    /// To read files and directories of others, those of their processes in /proc among them.
    DacReadSearch = 2,
    /// To send signals to another user's processes.
    Kill = 5,
    /// To take on other groups.
    Setgid = 6,
    /// To become another user.
    Setuid = 7,
    /// To listen on a port below 1024.
    NetBindService = 10,
    /// To attach programs that see packets and sockets.
    NetAdmin = 12,
    /// To look into another user's processes, and into such that hold more rights.
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
            Capability::DacOverride => "CAP_DAC_OVERRIDE",
            Capability::DacReadSearch => "CAP_DAC_READ_SEARCH",
            Capability::Kill => "CAP_KILL",
            Capability::Setgid => "CAP_SETGID",
            Capability::Setuid => "CAP_SETUID",
            Capability::NetBindService => "CAP_NET_BIND_SERVICE",
            Capability::NetAdmin => "CAP_NET_ADMIN",
            Capability::SysPtrace => "CAP_SYS_PTRACE",
            Capability::SysAdmin => "CAP_SYS_ADMIN",
            Capability::Perfmon => "CAP_PERFMON",
            Capability::Bpf => "CAP_BPF",
        })
    }
}

/// A set of capabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(u64);

impl Capabilities {
    /// None at all.
    pub const NONE: Capabilities = Capabilities(0);

    /// Whether one is in the set.
    #[must_use]
    pub fn has(self, capability: Capability) -> bool {
        self.0 >> (capability as u8) & 1 == 1
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<T: IntoIterator<Item = Capability>>(capabilities: T) -> Self {
        Capabilities(capabilities.into_iter().fold(0, |set, capability| set | 1 << (capability as u8)))
    }
}

/// The effective ones of this thread: what the kernel asks for when something is tried.
///
/// # Errors
/// None in practice: no kernel refuses capget(2), but a sandbox may.
pub fn own() -> io::Result<Capabilities> {
    Ok(Capabilities(capabilities(None)?.effective.bits()))
}

/// Gives up all but `kept`. It gains none that it did not have. What is inherited through exec goes too:
/// the inheritable and the ambient set are empty from then on. Counts for this thread, and those that it starts.
///
/// Makes two system calls and nothing else, so that it may stand between fork and exec.
///
/// # Errors
/// None in practice: giving up is always allowed, but a sandbox may know no capset(2).
pub fn keep(kept: Capabilities) -> io::Result<()> {
    let permitted = capabilities(None)?.permitted & CapabilitySet::from_bits_retain(kept.0);
    // The kernel takes out of the ambient set what is not inheritable.
    let sets = CapabilitySets { effective: permitted, permitted, inheritable: CapabilitySet::empty() };
    Ok(set_capabilities(None, sets)?)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::{Capabilities, Capability, keep, own};

    #[test]
    fn a_set_has_what_was_put_into_it() {
        let set: Capabilities = [Capability::Bpf, Capability::NetAdmin].into_iter().collect();
        assert!(set.has(Capability::Bpf) && set.has(Capability::NetAdmin));
        assert!(!set.has(Capability::SysAdmin) && !set.has(Capability::Perfmon) && !set.has(Capability::SysPtrace));
        assert_eq!(Capabilities::default(), Capabilities::NONE);
    }

    #[test]
    fn what_is_given_up_is_gone_in_this_thread_and_nothing_is_gained() {
        let before = own().unwrap();
        let asked: Capabilities = [Capability::Kill, Capability::SysPtrace].into_iter().collect();
        let (kept, none) = thread::spawn(move || {
            keep(asked).unwrap();
            let kept = own().unwrap();
            keep(Capabilities::NONE).unwrap();
            keep(asked).unwrap();
            (kept, own().unwrap())
        })
        .join()
        .unwrap();
        assert_eq!(kept.0, before.0 & asked.0);
        assert_eq!(none, Capabilities::NONE);
        assert_eq!(own().unwrap(), before);
    }
}
