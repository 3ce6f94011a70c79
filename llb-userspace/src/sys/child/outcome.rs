//! Whether a child's program runs.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use nix::{errno::Errno, sys::wait::waitpid, unistd::Pid};

use super::{ChildError, error::understand};

/// Our end of the pipe by which a child says what has failed before its program runs. Readable when it does, or never will.
#[derive(Debug)]
pub struct Outcome(File);

impl AsFd for Outcome {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Outcome {
    pub(super) fn of(told: OwnedFd) -> Self {
        Outcome(told.into())
    }

    /// Waits until the program runs; why it does not, if it does not. Then the child is about to exit.
    pub fn failure(&mut self) -> Option<ChildError> {
        let mut number = [0; size_of::<i32>()];
        // With its program the child's end of the pipe closes, and nothing comes.
        let said = self.0.read_exact(&mut number);
        said.is_ok().then(|| understand(io::Error::from_raw_os_error(i32::from_ne_bytes(number))))
    }

    /// The same, and waits for the end of a child whose program does not run.
    ///
    /// # Errors
    /// Why it does not.
    pub fn wait(&mut self, child: Pid) -> Result<(), ChildError> {
        let Some(error) = self.failure() else { return Ok(()) };
        // Where the ends of children are ignored nobody is there to wait for.
        while waitpid(child, None) == Err(Errno::EINTR) {}
        Err(error)
    }
}
