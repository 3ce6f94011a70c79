//! What `llb run` is as a process: how signals, panics and orphans are dealt with. A program that embeds llb does that by
//! itself.

use std::{panic, process};

use anyhow::Context;

use crate::sys::{limits, reap, signals};

/// Files that llb has open for a worker: both ways of its channel, and what it is sent signals by, which tells of its end as well.
const FILES_PER_WORKER: u64 = 3;

/// Maps, programs, sockets, starts that are under way, queues that are looked at: about 80 at the most, and some more.
const OTHER_FILES: u64 = 128;

/// llb may not open as many files as it would have to.
#[derive(Debug, thiserror::Error)]
#[error(
    "{workers} workers take llb {needed} open files while they are reloaded, and it may have {limit}: give fewer workers, or \
     raise the hard limit (ulimit -Hn, systemd: LimitNOFILE=, a container: --ulimit nofile=)"
)]
pub(super) struct TooFewFiles {
    workers: u32,
    needed: u64,
    limit: u64,
}

/// Makes a process that stays, and can have so many workers: called once, before there are threads.
pub(super) fn prepare(workers: u32) -> anyhow::Result<()> {
    abort_on_panic();
    signals::start_afresh().context("cannot unblock signals")?;
    signals::ignore_the_meaningless();
    reap::take_orphans().context("cannot take in orphans")?;
    let limit = limits::raise_files().context("cannot raise the limit of open files")?;
    let needed = OTHER_FILES + 2 * FILES_PER_WORKER * u64::from(workers);
    if limit < needed {
        return Err(TooFewFiles { workers, needed, limit }.into());
    }
    limits::make_room(needed).context("cannot make room for open files")
}

/// Makes a panic what `kill -9` is: nothing is dropped, so no worker ends, and the next llb takes them over.
fn abort_on_panic() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        print(info);
        process::abort();
    }));
}

#[cfg(test)]
mod tests {
    use std::{env, os::unix::process::ExitStatusExt, thread};

    use nix::sys::signal::Signal;

    use super::abort_on_panic;
    use crate::sys::testing::alone;

    /// Tells the test that it is the child which panics.
    const PANICS: &str = "LLB_TEST_PANICS";

    struct Noisy;

    impl Drop for Noisy {
        fn drop(&mut self) {
            println!("dropped");
        }
    }

    #[test]
    fn a_panic_anywhere_drops_nothing() {
        if env::var_os(PANICS).is_some() {
            abort_on_panic();
            let _noisy = Noisy;
            let _ended = thread::spawn(|| panic!("on purpose")).join();
            return;
        }
        let test = "cli::process::tests::a_panic_anywhere_drops_nothing";
        let child = alone(test, PANICS);
        assert_eq!(child.status.signal(), Some(Signal::SIGABRT as i32), "{child:?}");
        assert!(String::from_utf8_lossy(&child.stderr).contains("on purpose"), "{child:?}");
        assert!(!String::from_utf8_lossy(&child.stdout).contains("dropped"), "{child:?}");
    }
}
