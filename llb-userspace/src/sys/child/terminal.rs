//! Out of the reach of llb's terminal.
#![expect(
    unsafe_code,
    reason = "nix does not wrap the call that gives a terminal up, nor an open that allocates nothing"
)]

use nix::{
    errno::Errno,
    libc,
    unistd::{Pid, setpgid, setsid},
};

/// A process group of its own is out of reach of the terminal's signals. It has to give the terminal up besides, or writing
/// to it (`stty tostop`), setting it or reading from it would stop the worker, as a background job.
///
/// A session would do both, but where the kernel groups tasks by session (`kernel.sched_autogroup_enabled`) each is a
/// scheduling group of its own: that costs requests which cost nothing a seventh of their throughput.
pub(super) fn leave_terminal() -> nix::Result<()> {
    // SAFETY: the path ends with a null.
    let terminal = unsafe { libc::open(c"/dev/tty".as_ptr(), libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC) };
    if terminal >= 0 {
        let own = Pid::from_raw(0);
        // SAFETY: takes no pointers. Of a process that does not lead its session, as this one, it takes the terminal from
        // that process alone.
        let left = setpgid(own, own).and_then(|()| Errno::result(unsafe { libc::ioctl(terminal, libc::TIOCNOTTY) }));
        // SAFETY: it is ours, and not used any more.
        unsafe { libc::close(terminal) };
        return left.map(drop);
    }
    match Errno::last() {
        // There is none.
        Errno::ENXIO => setpgid(Pid::from_raw(0), Pid::from_raw(0)),
        // There may be one that cannot be given up: where /dev is another's, or it is just going.
        _ => setsid().map(drop),
    }
}
