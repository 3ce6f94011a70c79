//! aya's loader, without the kernel's own types.

use std::thread;

use aya::EbpfLoader;
use nix::{
    sched::{CloneFlags, unshare},
    unistd::chroot,
};

/// A root directory in which nobody finds `/sys`.
const ROOT_WITHOUT_SYS: &str = "/proc/self";

/// A loader that knows nothing of the kernel's types: llb's programs use none, as none of them looks into the kernel's
/// structures.
///
/// A new loader reads all of them whether or not it needs them, and can be told to do without only afterwards. That is
/// most of the memory that llb ever has: at most 6 MB without, 24 MB with the 5.5 MB of `/sys/kernel/btf/vmlinux` of a
/// usual kernel. So it is made by a thread that does not see this file. A thread that may not leave the root directory
/// (`CAP_SYS_CHROOT`) sees it, and nothing but memory is lost.
pub(super) fn loader() -> EbpfLoader<'static> {
    let without_types = || {
        // The root directory is the process's unless this thread has one of its own.
        let _ = unshare(CloneFlags::CLONE_FS).and_then(|()| chroot(ROOT_WITHOUT_SYS));
        EbpfLoader::new()
    };
    let mut loader =
        match thread::Builder::new().name("loader".to_owned()).spawn(without_types).map(thread::JoinHandle::join) {
            Ok(Ok(loader)) => loader,
            // No thread is to be had, or it panicked.
            Ok(Err(_)) | Err(_) => EbpfLoader::new(),
        };
    loader.btf(None);
    loader
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::loader;

    #[test]
    fn only_the_thread_that_makes_it_sees_another_root() {
        drop(loader());
        assert!(Path::new("/proc/self/status").exists());
    }
}
