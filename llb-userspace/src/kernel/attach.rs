//! The programs that keep the books, attached to a cgroup for as long as somebody wants it.

use std::{io, os::fd::OwnedFd};

use llb_common::names;

use super::{KernelError, Steering};
use crate::sys::cgroup_attach::{Hook, attach, detach};

/// Programs that are attached to a cgroup; detached when dropped. An example is [there](super#listeners-of-this-process).
#[derive(Debug)]
pub struct AttachedBooks {
    cgroup: OwnedFd,
    programs: Vec<(OwnedFd, Hook)>,
}

impl Steering {
    /// Attaches the programs that keep the books, and no others, to a cgroup: for listeners that are made by whoever joins
    /// them. They count only what belongs to a listener that has joined.
    ///
    /// # Errors
    /// [`KernelError::Attach`] naming the program.
    pub fn attach_books(&self, cgroup: OwnedFd) -> Result<AttachedBooks, KernelError> {
        let mut attached = AttachedBooks { cgroup, programs: Vec::new() };
        let hooks = [(names::SOCKOPS, Hook::SockOps), (names::INGRESS, Hook::Ingress), (names::EGRESS, Hook::Egress)];
        for (name, hook) in hooks {
            let failed = |source| KernelError::Attach { name, source };
            let fd = self.program(name)?.fd().map_err(|source| failed(io::Error::other(source)))?;
            let fd = std::os::fd::AsFd::as_fd(fd).try_clone_to_owned().map_err(failed)?;
            attach(&fd, &attached.cgroup, hook).map_err(failed)?;
            attached.programs.push((fd, hook));
        }
        Ok(attached)
    }
}

impl Drop for AttachedBooks {
    fn drop(&mut self) {
        for (program, hook) in &self.programs {
            // A cgroup that is gone has taken them along.
            let _ = detach(program, &self.cgroup, *hook);
        }
    }
}
