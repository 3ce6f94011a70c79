//! Moves the connections that wait in a worker's listeners to others, while none of its processes runs.
//!
//! The kernel moves them when a listener ends, which a copy of it can bring about, and only then. A worker that calls
//! accept(2) before the copy listens again is told `EINVAL`: blocking loops in Python or Perl end with it, asyncio writes
//! an error for each turn of its loop, and nginx and Node turn a core. So it is frozen for the moment.
#![expect(unsafe_code, reason = "a child that shares our memory has no safe form")]

use std::{
    fs::{File, OpenOptions},
    io,
    os::{fd::OwnedFd, unix::fs::FileExt},
    path::Path,
    thread,
    time::Duration,
};

use nix::{
    libc,
    sched::{CloneFlags, clone},
    sys::{
        signal::{SigSet, SigmaskHow},
        wait::waitpid,
    },
    unistd::{Pid, setpgid},
};

use super::{
    clock::now,
    socket::{accept_queue, relisten},
};

/// How long the processes may take to stand still. As a rule it is less than 0.1 ms; one that waits for a device does not
/// within any time. The caller is held up as long.
const PATIENCE: Duration = Duration::from_millis(20);

/// How often that is looked at. poll(2) reports it too, but at most every 10 ms.
const PAUSE: Duration = Duration::from_micros(50);

/// For the child, whose frames are those of a handful of small functions.
const STACK_BYTES: usize = 64 * 1024;

/// A cgroup's freezer.
#[derive(Debug)]
pub struct Freezer {
    freeze: File,
    events: File,
}

impl Freezer {
    /// That of the cgroup `path`.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn open(path: &Path) -> io::Result<Self> {
        let freeze = OpenOptions::new().read(true).write(true).open(path.join("cgroup.freeze"))?;
        Ok(Freezer { freeze, events: File::open(path.join("cgroup.events"))? })
    }

    /// Empties the accept queues of these listeners of the cgroup's processes while all of them stand still, and says how
    /// many connections waited in each; none if the processes do not stand still in time, and then nothing is done. Each
    /// listener must have others in its reuseport group, or the connections that wait are reset.
    ///
    /// # Errors
    /// Those of clone(2), and of the cgroup's files. Of a listener: those of [`relisten`].
    pub fn empty(&self, listeners: &[OwnedFd]) -> io::Result<Option<Vec<io::Result<u32>>>> {
        let mut emptied: Vec<io::Result<u32>> = listeners.iter().map(|_| Ok(0)).collect();
        let act = || {
            for (listener, emptied) in listeners.iter().zip(&mut emptied) {
                // One that nobody waits in any more is not touched: its worker has just come to itself.
                *emptied = accept_queue(listener).and_then(|queue| match queue.length {
                    0 => Ok(0),
                    _ => relisten(listener),
                });
            }
        };
        // SAFETY: reading the queue and listening again are system calls; what is replaced is `Ok(0)`, which frees nothing.
        let stood_still = unsafe { self.while_frozen(act)? };
        Ok(stood_still.then_some(emptied))
    }

    /// Calls `act` once all processes stand still, and lets them go on; false, without calling it, if they do not stand
    /// still in time. Those that somebody else has frozen stay frozen.
    ///
    /// A child does it that shares our memory, and this process waits for it: if we are killed meanwhile it completes
    /// what it has begun, and nobody is left frozen or without a listener.
    ///
    /// # Safety
    /// The memory of a process that was killed may be left in any state, with locks that nobody will release. So `act`
    /// may make system calls and write to what it borrows, and must neither allocate, lock nor panic.
    unsafe fn while_frozen(&self, mut act: impl FnMut()) -> io::Result<bool> {
        let mut done = Ok(false);
        let mut stack = vec![0; STACK_BYTES];
        let child = Box::new(|| {
            // The signal that ends our process group does not end the child.
            let _ = setpgid(Pid::from_raw(0), Pid::from_raw(0));
            done = self.freeze_and(&mut act);
            0
        });
        // Our signal handlers are the child's too, and would tell us of its signals.
        let ours = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        // SAFETY: this thread stands still until the child has ended (CLONE_VFORK), so what the child borrows outlives it,
        // the thread-local storage that both use is used by one at a time, and the stack is large enough. The child only
        // makes system calls, by the caller's promise also in `act`.
        let cloned =
            unsafe { clone(child, &mut stack, CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK, Some(libc::SIGCHLD)) };
        let waited = cloned.and_then(|child| waitpid(child, None));
        ours.thread_set_mask()?;
        waited?;
        done
    }

    /// Runs in the child: no allocation, no lock.
    fn freeze_and(&self, act: &mut impl FnMut()) -> io::Result<bool> {
        let was_frozen = says(&self.freeze, b"1")?;
        write(&self.freeze, b"1")?;
        let deadline = now().after(PATIENCE);
        let frozen = loop {
            match says(&self.events, b"frozen 1") {
                Ok(false) if now() < deadline => thread::sleep(PAUSE),
                frozen => break frozen,
            }
        };
        if matches!(frozen, Ok(true)) {
            act();
        }
        if !was_frozen {
            write(&self.freeze, b"0")?;
        }
        frozen
    }
}

fn write(file: &File, word: &[u8]) -> io::Result<()> {
    nix::unistd::write(file, word)?;
    Ok(())
}

/// Whether the word is in the file's text, which is short.
fn says(file: &File, word: &[u8]) -> io::Result<bool> {
    let mut text = [0; 128];
    let length = file.read_at(&mut text, 0)?;
    Ok(text.get(..length).is_some_and(|text| text.windows(word.len()).any(|found| found == word)))
}

#[cfg(all(test, feature = "tests-as-root"))]
mod tests {
    use std::{
        fs,
        path::PathBuf,
        process::{self, Command},
    };

    use super::{Freezer, says};
    use crate::sys::{mounts, testing::Ward};

    /// A cgroup of our own with a process that computes.
    struct Busy {
        path: PathBuf,
        process: Option<Ward>,
    }

    impl Busy {
        fn new(name: &str) -> Self {
            let path = mounts::own_cgroup().unwrap().path.join(format!("llb.{name}-{}", process::id()));
            fs::create_dir(&path).unwrap();
            let child = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
            fs::write(path.join("cgroup.procs"), child.id().to_string()).unwrap();
            Busy { path, process: Some(Ward(child)) }
        }
    }

    impl Drop for Busy {
        fn drop(&mut self) {
            drop(self.process.take());
            let _ = fs::remove_dir(&self.path);
        }
    }

    #[test]
    fn what_is_done_is_done_while_all_stand_still() {
        let busy = Busy::new("frozen");
        let freezer = Freezer::open(&busy.path).unwrap();
        let stands_still = || says(&freezer.events, b"frozen 1").unwrap_or(false);
        for _ in 0..50 {
            let mut stood_still = false;
            // SAFETY: reading a file is a system call.
            assert!(unsafe { freezer.while_frozen(|| stood_still = stands_still()) }.unwrap());
            assert!(stood_still);
            assert!(says(&freezer.freeze, b"0").unwrap(), "it goes on");
        }
    }

    #[test]
    fn who_was_frozen_by_others_stays_so() {
        let busy = Busy::new("frozen-by-others");
        let freezer = Freezer::open(&busy.path).unwrap();
        fs::write(busy.path.join("cgroup.freeze"), "1").unwrap();
        assert!(freezer.empty(&[]).unwrap().is_some());
        assert!(says(&freezer.freeze, b"1").unwrap());
    }
}
