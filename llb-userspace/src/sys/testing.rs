//! Waiting, for tests, and a kernel that lacks something.
#![cfg_attr(feature = "tests-as-root", expect(unsafe_code, reason = "a seccomp filter has no safe form"))]

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

/// Runs the test `name` in a process of its own, in which `variable` is set.
pub(crate) fn alone(name: &str, variable: &str) -> process::Output {
    let mut test = process::Command::new(std::env::current_exe().unwrap());
    test.args(["--exact", name, "--nocapture"]).env(variable, "1").stdin(process::Stdio::null());
    test.output().unwrap()
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

/// Has this thread, and those that it starts, find no clone3(2), as in many containers.
#[cfg(feature = "tests-as-root")]
pub(crate) fn forbid_clone3() {
    use nix::libc::{self, BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter, sock_fprog};

    let instruction = |code: u32, jf: u8, k: u32| sock_filter { code: code as u16, jt: 0, jf, k };
    let mut filter = [
        // The number of the call comes first in `struct seccomp_data`.
        instruction(BPF_LD | BPF_W | BPF_ABS, 0, 0),
        instruction(BPF_JMP | BPF_JEQ | BPF_K, 1, libc::SYS_clone3 as u32),
        instruction(BPF_RET | BPF_K, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
        instruction(BPF_RET | BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    rustix::thread::set_no_new_privs(true).unwrap();
    // SAFETY: the program, and what it points to, live until the call returns; it counts for this thread.
    let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}
