//! Children that nobody has started: orphans, which the kernel gives to the next ancestor that takes them.

use std::io;

use nix::{
    errno::Errno,
    sys::{
        prctl,
        wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid},
    },
    unistd::Pid,
};

/// What became of the children that have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reaped {
    /// Orphans that have been waited for.
    pub count: usize,
    /// Whether one that somebody else waits for may hide others.
    pub is_stuck: bool,
}

/// Has the orphans among this process's descendants become its children. Process 1 gets them anyway, of all there are.
///
/// # Errors
/// None on the kernels that llb runs on.
pub fn take_orphans() -> io::Result<()> {
    prctl::set_child_subreaper(true).map_err(io::Error::from)
}

/// Waits for the children that have ended, except for those that `has_its_own_task`: their own tasks want to know how they ended.
pub fn orphans(has_its_own_task: impl Fn(Pid) -> bool) -> Reaped {
    let mut reaped = Reaped::default();
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    loop {
        let ended = match waitid(Id::All, look) {
            Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..)) => pid,
            Err(Errno::EINTR) => continue,
            // Nobody has ended, or there is nobody.
            Ok(_) | Err(_) => return reaped,
        };
        // The kernel shows the first one until it has been waited for.
        if has_its_own_task(ended) {
            return Reaped { is_stuck: true, ..reaped };
        }
        if waitpid(ended, Some(WaitPidFlag::WNOHANG)).is_err() {
            return reaped;
        }
        reaped.count += 1;
    }
}
