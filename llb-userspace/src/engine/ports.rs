//! What is said of workers' ports that llb cannot share as they are meant.

use super::Engine;
use crate::{kernel::KernelError, model::Instant, observe::stderr};

impl Engine {
    /// Says which ports several workers have bound and none listens on: a lock, most likely, that each of them now holds.
    pub(super) fn say_what_is_only_bound(&mut self, now: Instant) {
        for (address, ids) in self.bound.step(now) {
            let mut slots: Vec<u32> = ids.into_iter().map(|id| self.slot(id).0).collect();
            slots.sort_unstable();
            let (port, slots) = (address.0.port(), listed(&slots));
            self.warn(format!(
                "port {port} is bound in slots {slots} and none listens on it; if only one worker may have it, name the \
                 ports that are to be shared with -p, or except this one with --own-port {port}"
            ));
        }
    }

    /// Has the kernel refuse to workers what other fleets listen on: the last that joined would get all connections.
    pub(super) fn look_for_other_fleets(&mut self) -> Result<(), KernelError> {
        // Another's ports are in nobody's way where they cannot be seen.
        if self.others.look(self.cgroup.path()) {
            self.updater.steering_mut().set_taken(&self.others.ports())?;
        }
        Ok(())
    }

    /// Says it on standard error and among the events.
    pub(super) fn warn(&mut self, cause: String) {
        stderr::line(&format!("llb: {cause}"));
        self.lives.warn(cause);
        self.enter_notes();
    }
}

fn listed(numbers: &[u32]) -> String {
    let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
    numbers.join(", ")
}
