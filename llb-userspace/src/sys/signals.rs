//! What signals do to this process, as far as it is said once for all of it.
#![expect(unsafe_code, reason = "a disposition has no safe form")]

use nix::{
    libc,
    sys::signal::{SigSet, Signal},
};

/// The last of the real-time signals, on every architecture but MIPS; beyond it there is nothing to set.
pub const LAST: libc::c_int = 64;

/// Signals that mean nothing to llb, and whose default is to end it: timers that it does not start, limits that are no reason
/// to leave workers alone, and whatever else somebody may send. Not those of a fault: what goes on after one is not what
/// was written.
const MEANINGLESS: [Signal; 8] = [
    Signal::SIGALRM,
    Signal::SIGVTALRM,
    Signal::SIGPROF,
    Signal::SIGIO,
    Signal::SIGPWR,
    Signal::SIGSTKFLT,
    Signal::SIGXCPU,
    Signal::SIGXFSZ,
];

/// Sets what the starter of this process may have left otherwise: the end of a child is heard of (an ignored SIGCHLD has the
/// kernel forget children), and no signal is blocked, in this thread and those that it starts.
pub fn start_afresh() -> nix::Result<()> {
    set(Signal::SIGCHLD as libc::c_int, libc::SIG_DFL);
    SigSet::empty().thread_set_mask()
}

/// Has the process ignore each signal that would end it and has no other meaning.
pub fn ignore_the_meaningless() {
    for signal in MEANINGLESS {
        set(signal as libc::c_int, libc::SIG_IGN);
    }
    for signal in libc::SIGRTMIN()..=LAST {
        set(signal, libc::SIG_IGN);
    }
}

/// Has each signal do what it does by default, also those that libc keeps for itself. Between clone and exec: libc may hold
/// a lock for SIGABRT, so this goes past it.
pub fn restore_defaults() {
    // `struct sigaction` of the kernel: the disposition (SIG_DFL is 0), flags, what returns, and 64 signals.
    let default = [0_u64; 4];
    for signal in 1..=LAST {
        // SAFETY: the pointer is to as much as the kernel reads. Fails for SIGKILL and SIGSTOP, as it may.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), 0_usize, size_of::<u64>()) };
    }
}

fn set(signal: libc::c_int, disposition: libc::sighandler_t) {
    // SAFETY: sets no handler. Fails for SIGKILL, SIGSTOP and those that libc keeps for itself, as it may.
    unsafe { libc::signal(signal, disposition) };
}
