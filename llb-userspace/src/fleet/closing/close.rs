//! Closes the connections that nobody needs any more.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, BorrowedFd},
    thread::sleep,
    time::Duration,
};

use nix::{sys::stat::fstat, unistd::Pid};

use super::{
    DrainWatch,
    held::{HeldConnection, copy},
};
use crate::{
    fleet::{effect::CloseScope, worker::Holding},
    model::Instant,
    sys::{
        clock,
        connection::{end_reading, traffic},
        deaf::NoBytes,
        pidfd::PidFd,
        procfs,
    },
};

/// Between two looks at the connections that have moved lately.
const OFTEN: Duration = Duration::from_millis(2);

/// So many connections may be closed however little time has passed, and so many at once of those that have moved lately:
/// the worker has to take notice of each before its client sends the next request.
const FEW: usize = 64;
const AT_ONCE: usize = 4;

impl DrainWatch {
    /// Closes those that pause, among the connections that have moved lately.
    pub(super) fn close_pausing(
        &mut self,
        is_at_rest: &impl Fn(BorrowedFd<'_>) -> Option<bool>,
        filter: Option<&NoBytes>,
        scope: CloseScope,
        until: Instant,
    ) -> io::Result<()> {
        while self.held.values().any(|held| held.lately && !held.closed) && clock::now() < until {
            let begun = clock::now();
            self.close_idle(is_at_rest, filter, scope, AT_ONCE, |held| held.lately)?;
            // Many take longer, and must not take all of a core.
            sleep(OFTEN.max(Duration::from_nanos(clock::now().since(begun) * 10)));
        }
        Ok(())
    }

    /// Looks once more at the connections that `which` names, and closes those that are idle, as many as may be.
    pub(super) fn close_idle(
        &mut self,
        is_at_rest: &impl Fn(BorrowedFd<'_>) -> Option<bool>,
        filter: Option<&NoBytes>,
        scope: CloseScope,
        at_once: usize,
        which: impl Fn(&HeldConnection) -> bool,
    ) -> io::Result<()> {
        let may = (self.most * usize::from(scope.permille) / 1_000).max(FEW);
        let mut left = may.saturating_sub(self.closed).min(at_once);
        let mut processes: HashMap<Pid, PidFd> = HashMap::new();
        let mut gone = Vec::new();
        for (&inode, held) in self.held.iter_mut().filter(|(_, held)| !held.closed && which(held)) {
            if left == 0 {
                break;
            }
            let process = match processes.entry(held.pid) {
                std::collections::hash_map::Entry::Occupied(process) => process.into_mut(),
                std::collections::hash_map::Entry::Vacant(place) => match PidFd::open(held.pid) {
                    Err(error) if procfs::has_ended(&error) => {
                        gone.push(inode);
                        continue;
                    }
                    process => place.insert(process?),
                },
            };
            // Its number may be another socket's by now.
            let copy = copy(process, held.fd)?.filter(|copy| fstat(copy).is_ok_and(|found| found.st_ino == inode));
            let Some((copy, traffic)) = copy.and_then(|copy| traffic(&copy).ok().map(|traffic| (copy, traffic))) else {
                gone.push(inode);
                continue;
            };
            held.see(traffic, is_at_rest(copy.as_fd()), Some(scope), clock::now());
            if held.idle {
                // One that is closed already is what was wanted; one that is asked meanwhile is left alone.
                if matches!(end_reading(&copy, traffic, filter), Ok(false)) {
                    (held.idle, held.holding) = (false, Holding::Requests);
                    continue;
                }
                held.closed = true;
                left -= 1;
                self.closed += 1;
            }
        }
        for inode in gone {
            self.held.remove(&inode);
        }
        Ok(())
    }
}
