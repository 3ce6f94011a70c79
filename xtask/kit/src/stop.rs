//! How threads are told to end.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Sets its flag when it is dropped, also by a panic: a scope waits for its threads.
pub struct StopOnDrop<'a>(pub &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}
