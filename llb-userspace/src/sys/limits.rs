//! How many files this process may have open.

use std::{io, sync::OnceLock};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The limit that this process was started with, soft and hard, once it has been raised.
static ORIGINAL: OnceLock<(u64, u64)> = OnceLock::new();

/// Raises the limit as far as it may be, and returns that.
///
/// # Errors
/// If the kernel refuses.
pub fn raise_files() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    // Set once: the first one is the original.
    let _ = ORIGINAL.set((soft, hard));
    Ok(hard)
}

/// How many files this process may have open.
///
/// # Errors
/// Those of getrlimit(2).
pub fn files() -> io::Result<u64> {
    Ok(getrlimit(Resource::RLIMIT_NOFILE)?.0)
}

/// Sets the limit to what it was. Programs that select(2), or that close all they might have open, rely on a low one.
/// Async-signal-safe.
pub fn restore_files() {
    if let Some((soft, hard)) = ORIGINAL.get() {
        // To lower it is never refused.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, *soft, *hard);
    }
}
