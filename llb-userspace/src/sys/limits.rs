//! How many files this process may have open.
#![expect(unsafe_code, reason = "a copy with a number of our choice has no safe form")]

use std::{
    io,
    os::fd::{FromRawFd, OwnedFd, RawFd},
    sync::OnceLock,
};

use nix::{
    fcntl::{FcntlArg, fcntl},
    sys::resource::{Resource, getrlimit, setrlimit},
};

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

/// Makes room for so many open files, as long as this process has one thread. Later whoever opens one too many for its table waits
/// until each CPU has been through the scheduler, 10 to 20 ms (`expand_fdtable` in Linux's fs/file.c).
///
/// # Errors
/// Those of fcntl(2): more than there may be, or no memory.
pub fn make_room(files: u64) -> io::Result<()> {
    let last = RawFd::try_from(files.saturating_sub(1)).unwrap_or(RawFd::MAX);
    let (any, _) = io::pipe()?;
    let copy = fcntl(&any, FcntlArg::F_DUPFD_CLOEXEC(last))?;
    // SAFETY: the kernel has just made it for us, and nobody else knows of it. The table stays as large when it is closed.
    drop(unsafe { OwnedFd::from_raw_fd(copy) });
    Ok(())
}

/// Sets the limit to what it was. Programs that select(2), or that close all they might have open, rely on a low one.
/// Async-signal-safe.
pub fn restore_files() {
    if let Some((soft, hard)) = ORIGINAL.get() {
        // To lower it is never refused.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, *soft, *hard);
    }
}
