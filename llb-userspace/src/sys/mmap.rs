//! A map's value as memory that llb and the kernel share: publishing costs stores, not system calls.
#![expect(unsafe_code, reason = "mapping memory, and handing it out as a slice, has no safe form")]

use std::{
    io,
    num::NonZeroUsize,
    os::fd::{AsRawFd, BorrowedFd},
    ptr::{self, NonNull},
    slice,
    sync::atomic::AtomicU64,
};

use nix::libc;

/// A shared read-write mapping, seen as 64-bit words. Unmapped when dropped.
#[derive(Debug)]
pub struct SharedWords {
    start: NonNull<AtomicU64>,
    words: NonZeroUsize,
}

impl SharedWords {
    /// Maps the first `words` words of `fd`: a BPF array created with `BPF_F_MMAPABLE`, whose memory lives at
    /// least as long as this mapping, whatever becomes of the file descriptor.
    ///
    /// # Errors
    /// The kernel's, most likely because the map is smaller than that or was not created mappable.
    pub fn map(fd: BorrowedFd<'_>, words: NonZeroUsize) -> io::Result<Self> {
        let length = words.get().checked_mul(size_of::<AtomicU64>()).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: a new mapping at a place of the kernel's choosing touches no memory that Rust knows of.
        let start = unsafe {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(ptr::null_mut(), length, protection, libc::MAP_SHARED, fd.as_raw_fd(), 0)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { start, words })
    }

    /// The words. The kernel programs read and write them at the same time.
    #[must_use]
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is page-aligned, `words` long and lives as long as `self`. Any bit pattern is an
        // AtomicU64. The kernel writes concurrently, in whole aligned words; on our side every access goes through
        // an atomic, and no other reference to this memory exists.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.words.get()) }
    }
}

impl Drop for SharedWords {
    fn drop(&mut self) {
        // SAFETY: exactly the range that `map` mapped, and no borrow of it outlives `self`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.words.get() * size_of::<AtomicU64>()) };
    }
}

// SAFETY: the mapping belongs to the process, not to a thread, and is only reached through atomics.
unsafe impl Send for SharedWords {}
// SAFETY: as for Send.
unsafe impl Sync for SharedWords {}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroUsize, os::fd::AsFd, sync::atomic::Ordering::Relaxed};

    use super::SharedWords;

    const WORDS: NonZeroUsize = NonZeroUsize::new(600).unwrap();

    #[test]
    fn both_sides_see_each_others_words() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(8 * WORDS.get() as u64).unwrap();
        let ours = SharedWords::map(file.as_fd(), WORDS).unwrap();
        let theirs = SharedWords::map(file.as_fd(), WORDS).unwrap();
        drop(file);

        ours.words()[599].store(7, Relaxed);
        theirs.words()[0].store(9, Relaxed);

        assert_eq!(theirs.words()[599].load(Relaxed), 7);
        assert_eq!(ours.words()[0].load(Relaxed), 9);
        assert_eq!(ours.words().len(), WORDS.get());
    }

    #[test]
    fn a_descriptor_that_cannot_be_mapped_is_an_error() {
        let (pipe, _other) = std::io::pipe().unwrap();
        assert!(SharedWords::map(pipe.as_fd(), WORDS).is_err());
    }
}
