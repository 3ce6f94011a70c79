//! How far a child came that is not to be.

use std::io;

use nix::errno::Errno;

/// Why there is no child.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// It could not be made into a worker.
    #[error("the child cannot {}", step.attempt())]
    Prepare {
        /// How far it came.
        step: Step,
        /// What the kernel said.
        source: io::Error,
    },
    /// The clone, the change of directory or the exec has failed.
    #[error("cannot start the child")]
    Start(#[source] io::Error),
}

/// What a child does before it runs the worker's program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Out of the terminal's reach: its Ctrl-C comes to llb alone, which then ends the fleet in order, and no worker is
    /// ever stopped for touching it.
    Terminal,
    /// Its cgroup, before it has bound or forked anything.
    Cgroup,
    /// Nothing of llb's is open in it.
    Descriptors,
    /// Except for the channel.
    Channel,
    /// Its groups and no others, while it may still choose them.
    Groups,
    /// Its user, after all for which it takes the rights of ours.
    User,
    /// No rights beyond that user's.
    Capabilities,
    /// No signal is blocked.
    Signals,
    /// On its CPU.
    Cpu,
    /// With its priority.
    Nice,
}

impl Step {
    pub(super) const ALL: [Step; 10] = [
        Step::Terminal,
        Step::Cgroup,
        Step::Descriptors,
        Step::Channel,
        Step::Groups,
        Step::User,
        Step::Capabilities,
        Step::Signals,
        Step::Cpu,
        Step::Nice,
    ];

    fn attempt(self) -> &'static str {
        match self {
            Step::Terminal => "leave llb's terminal",
            Step::Cgroup => "enter its cgroup",
            Step::Descriptors => "close what it shall not inherit",
            Step::Channel => "keep its channel open",
            Step::Groups => "take on its groups; llb needs CAP_SETGID for --user and --group",
            Step::User => "become its user; llb needs CAP_SETUID for --user",
            Step::Capabilities => "give up llb's capabilities",
            Step::Signals => "unblock its signals",
            Step::Cpu => "run on the CPU that --cpus gives it; there is none of that number, or llb may not use it",
            Step::Nice => "take on the priority of --nice, which is above llb's own",
        }
    }
}

/// The kernel's error numbers are below this (`MAX_ERRNO` in err.h).
const STEP_UNIT: i32 = 4096;

/// The child tells us one number, as exec's failure is one, so the step travels in its upper bits.
pub(super) fn failed(step: Step, errno: Errno) -> io::Error {
    io::Error::from_raw_os_error((step as i32 + 1) * STEP_UNIT + errno as i32)
}

pub(super) fn errno_of(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or_default())
}

pub(super) fn understand(error: io::Error) -> ChildError {
    let number = error.raw_os_error().unwrap_or(0);
    let step = usize::try_from(number / STEP_UNIT - 1).ok().and_then(|step| Step::ALL.get(step));
    match step {
        Some(&step) => ChildError::Prepare { step, source: io::Error::from_raw_os_error(number % STEP_UNIT) },
        None => ChildError::Start(error),
    }
}
