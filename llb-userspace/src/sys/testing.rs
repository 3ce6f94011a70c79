//! Waiting, for tests.

use std::{process, thread, time::Duration};

use super::clock;

/// Far longer than anything here takes, also on a machine that has a bad minute.
const DEADLINE: Duration = Duration::from_secs(20);

/// Often enough that no test is slowed by it.
const PAUSE: Duration = Duration::from_millis(1);

/// Waits until `condition` holds, and fails the test if it never does.
#[track_caller]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = clock::now().after(DEADLINE);
    while !condition() {
        assert!(clock::now() < deadline, "waited {DEADLINE:?} in vain until {what}");
        thread::sleep(PAUSE);
    }
}

/// A child that is killed and waited for when the test ends, however it ends.
pub(crate) struct Ward(pub(crate) process::Child);

impl Drop for Ward {
    fn drop(&mut self) {
        // Both fail only for a child that has already been waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
