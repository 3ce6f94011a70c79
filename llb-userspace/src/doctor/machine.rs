//! What the machine has, without trying it: the kernel's age and our rights. `llb run` checks this first, too.

use nix::{sys::utsname::uname, unistd::geteuid};

use super::missing::{Missing, Tried};
use crate::{
    config::Identity,
    sys::capabilities::{self, Capabilities, Capability},
};

/// Older kernels lack what the programs call: reading the listener in `sk_reuseport` (5.14), atomics that return
/// (5.12). This is the oldest that llb is tried on.
const OLDEST_KERNEL: (u32, u32) = (6, 1);

/// What loading and attaching the programs takes. `CAP_PERFMON`, because without it the verifier takes no pointer
/// whose offset is computed at run time. `CAP_SYS_ADMIN` stands in for all of them.
const NEEDED: [Capability; 3] = [Capability::Bpf, Capability::NetAdmin, Capability::Perfmon];

/// What it takes to steer workers of another user, and to end them: `CAP_DAC_READ_SEARCH` because only its owner may list
/// what a process has open. `CAP_DAC_OVERRIDE` stands in for it.
const NEEDED_FOR_OTHER_USERS: [Capability; 3] = [Capability::SysPtrace, Capability::DacReadSearch, Capability::Kill];

/// What it takes to start workers as another user, and in other groups.
const NEEDED_FOR_USER: [Capability; 2] = [Capability::Setuid, Capability::Setgid];

/// The machine lacks something that llb cannot do without.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MachineError {
    /// We may not load programs.
    #[error(
        "llb loads programs into the kernel and needs root for it, here it lacks {lacking}: {}; \
         `sudo llb doctor` tells more",
        rights_remedy(geteuid().is_root(), lacking)
    )]
    NoRights {
        /// The rights that are missing, separated by commas.
        lacking: String,
    },
    /// We may not run workers as somebody else.
    #[error("llb lacks {lacking} to run workers as another user or group: {}", rights_remedy(geteuid().is_root(), lacking))]
    NoOtherUser {
        /// The rights that are missing, separated by commas.
        lacking: String,
    },
    /// The kernel is too old.
    #[error(
        "this kernel is {release}; llb needs Linux {}.{} or newer; `llb doctor` tells more",
        OLDEST_KERNEL.0, OLDEST_KERNEL.1
    )]
    OldKernel {
        /// As `uname -r` has it.
        release: String,
    },
}

/// What would otherwise fail later, and less clearly.
///
/// # Errors
/// [`MachineError`].
pub(crate) fn check() -> Result<(), MachineError> {
    // Rights that cannot be seen are tried.
    let lacking = capabilities::own().map(|held| lacking(held, NEEDED)).unwrap_or_default();
    if !lacking.is_empty() {
        return Err(MachineError::NoRights { lacking });
    }
    check_release(release())
}

/// Whether workers may run as who they are to be.
///
/// # Errors
/// [`MachineError::NoOtherUser`].
pub(crate) fn check_identity(identity: Option<&Identity>) -> Result<(), MachineError> {
    let Some(identity) = identity else { return Ok(()) };
    // Rights that cannot be seen are tried.
    let Ok(held) = capabilities::own() else { return Ok(()) };
    let lacking = if identity.uid == geteuid() {
        lacking(held, [Capability::Setgid])
    } else {
        lacking(held, NEEDED_FOR_USER.into_iter().chain(NEEDED_FOR_OTHER_USERS))
    };
    if lacking.is_empty() { Ok(()) } else { Err(MachineError::NoOtherUser { lacking }) }
}

/// The kernel's age.
pub(super) fn kernel() -> Tried<()> {
    let release = release();
    let detail = format!("Linux {release}");
    check_release(release).map(|()| ((), detail)).map_err(|error| {
        let MachineError::OldKernel { release } = error else { return Missing::new(error, "boot a newer kernel") };
        let (major, minor) = OLDEST_KERNEL;
        Missing::new(format!("this kernel is {release}"), format!("boot Linux {major}.{minor} or newer"))
    })
}

/// Our rights to load and attach programs.
pub(super) fn rights() -> Tried<()> {
    let held = capabilities::own().map_err(|error| {
        Missing::new(format!("cannot ask for llb's own rights: {error}"), "allow capget() (seccomp)")
    })?;
    let lacking = lacking(held, NEEDED);
    if lacking.is_empty() {
        let names = NEEDED.into_iter().filter(|needed| held.has(*needed));
        let stand_in = held.has(Capability::SysAdmin).then_some(Capability::SysAdmin);
        return Ok(((), list(names.chain(stand_in))));
    }
    Err(Missing::new(format!("llb lacks {lacking}"), rights_remedy(geteuid().is_root(), &lacking)))
}

/// Our rights to start and to steer workers of another user; or else what takes the rights that are missing.
pub(super) fn other_users() -> Result<String, String> {
    let held = capabilities::own().unwrap_or_default();
    let all = || NEEDED_FOR_OTHER_USERS.into_iter().chain(NEEDED_FOR_USER);
    let missing = lacking(held, all());
    if missing.is_empty() {
        return Ok(format!("{}: workers may be others than llb (--user)", list(all())));
    }
    Err(if lacking(held, NEEDED_FOR_OTHER_USERS).is_empty() {
        format!("{missing} missing: no --user, but workers may change their user themselves")
    } else {
        format!("{missing} missing: no --user, and a worker that changes its user is left to the kernel's hash")
    })
}

fn release() -> String {
    uname().map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default()
}

fn check_release(release: String) -> Result<(), MachineError> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) < OLDEST_KERNEL => {
            Err(MachineError::OldKernel { release })
        }
        // A release that cannot be read is tried.
        _ => Ok(()),
    }
}

/// The needed ones that are not held.
fn lacking(held: Capabilities, needed: impl IntoIterator<Item = Capability>) -> String {
    let stand_in = |needed| match needed {
        Capability::Bpf | Capability::NetAdmin | Capability::Perfmon => Some(Capability::SysAdmin),
        Capability::DacReadSearch => Some(Capability::DacOverride),
        _ => None,
    };
    let lacks = |needed: &Capability| !held.has(*needed) && !stand_in(*needed).is_some_and(|other| held.has(other));
    list(needed.into_iter().filter(lacks))
}

fn list(capabilities: impl Iterator<Item = Capability>) -> String {
    capabilities.map(|capability| capability.to_string()).collect::<Vec<_>>().join(", ")
}

fn rights_remedy(root: bool, lacking: &str) -> String {
    if root {
        let flags = flags(lacking);
        format!("give llb these capabilities (systemd: CapabilityBoundingSet=, a container: {flags})")
    } else {
        "run it with sudo, or give it these capabilities (systemd: AmbientCapabilities=)".to_owned()
    }
}

/// How `docker run` is asked for capabilities.
fn flags(lacking: &str) -> String {
    let names = lacking.split(", ").filter_map(|name| name.strip_prefix("CAP_"));
    names.map(|name| format!("--cap-add {name}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{check_release, rights_remedy};

    #[test]
    fn an_old_kernel_is_named() {
        let error = check_release("5.10.0-28-amd64".into()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "this kernel is 5.10.0-28-amd64; llb needs Linux 6.1 or newer; `llb doctor` tells more"
        );
        for release in ["6.1.0-50-cloud-amd64", "6.18.44", "10.0", "strange"] {
            assert!(check_release(release.into()).is_ok(), "{release}");
        }
    }

    #[test]
    fn sudo_is_no_advice_for_root() {
        assert!(rights_remedy(false, "CAP_BPF").contains("sudo"));
        assert!(!rights_remedy(true, "CAP_BPF").contains("sudo"));
    }

    #[test]
    fn a_container_is_given_the_flags() {
        let remedy = rights_remedy(true, "CAP_BPF, CAP_NET_ADMIN");
        assert!(remedy.ends_with("a container: --cap-add BPF --cap-add NET_ADMIN)"), "{remedy}");
    }
}
