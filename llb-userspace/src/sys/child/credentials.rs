//! Who a child becomes.
#![expect(unsafe_code, reason = "libc's calls are for all threads of a process, of which a child has one")]

use nix::{
    errno::Errno,
    libc,
    unistd::{Gid, Uid},
};

/// A user and groups, by their numbers.
#[derive(Clone, Debug)]
pub struct Credentials {
    uid: Uid,
    gid: Gid,
    groups: Vec<libc::gid_t>,
}

impl Credentials {
    /// A user, the group of the files that it makes, and all of its groups.
    #[must_use]
    pub fn new(uid: Uid, gid: Gid, groups: &[Gid]) -> Self {
        Self { uid, gid, groups: groups.iter().map(|group| group.as_raw()).collect() }
    }

    /// Has this thread take on the groups. Async-signal-safe, as libc's setgroups(3) is not: that waits for the other threads.
    pub(super) fn take_on_groups(&self) -> nix::Result<()> {
        // SAFETY: there are as many groups as are said.
        let set = unsafe { libc::syscall(libc::SYS_setgroups, self.groups.len(), self.groups.as_ptr()) };
        Errno::result(set)?;
        let gid = self.gid.as_raw();
        // SAFETY: takes no pointers.
        Errno::result(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) }).map(drop)
    }

    /// And this one the user.
    pub(super) fn take_on_user(&self) -> nix::Result<()> {
        let uid = self.uid.as_raw();
        // SAFETY: takes no pointers.
        Errno::result(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }).map(drop)
    }
}
