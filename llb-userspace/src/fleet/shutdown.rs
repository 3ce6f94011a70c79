//! Whether a program ends itself in order when it is sent the signal to end.
//!
//! One that catches the signal has a shutdown of its own; the kernel shows which signals a process catches. Some runtimes
//! catch it for every program, to clean up after it, and some servers end at once by it and in order by another. Of
//! those nothing is known, and they are treated as if the signal ended them.

use std::io;

use nix::{sys::signal::Signal, unistd::Pid};

use crate::sys::procfs;

/// Runtimes that catch SIGTERM in every program, by how the names of their executables begin.
const RUNTIMES: [&str; 6] = ["node", "bun", "deno", "java", "ruby", "php"];

/// Servers that drop what they have on SIGTERM, by how the names of their executables begin, or what they call themselves: a script's
/// process has its name. `--stop-signal` names the better one, where there is one.
const ABRUPT: [&str; 11] = [
    "nginx",
    "haproxy",
    "lighttpd",
    "uwsgi",
    "apache2",
    "httpd",
    "redis",
    "memcached",
    "pgbouncer",
    "starman",
    "twistd",
];

/// Who catches as many signals does not mean any: Go's runtime does so in every program.
const ALL_SIGNALS: u32 = 40;

/// Whether process `pid` catches `signal` because it has something to do then. `chosen`: an operator has chosen the signal,
/// and knows what it does.
///
/// # Errors
/// If the process has ended, or is another user's.
pub fn has_own(pid: Pid, signal: Signal, chosen: bool) -> io::Result<bool> {
    let caught = procfs::caught(pid)?;
    let names = [procfs::program(pid), procfs::comm(pid)].map(Result::unwrap_or_default);
    Ok(is_own(caught, &names.each_ref().map(String::as_str), signal, chosen))
}

fn is_own(caught: u64, programs: &[&str], signal: Signal, chosen: bool) -> bool {
    let catches = caught >> (signal as u32 - 1) & 1 == 1;
    let means_nothing = || {
        let named = |names: &[&str]| names.iter().any(|name| programs.iter().any(|program| program.starts_with(name)));
        caught.count_ones() >= ALL_SIGNALS || named(&RUNTIMES) || named(&ABRUPT)
    };
    catches && (chosen || !means_nothing())
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::Signal::{SIGQUIT, SIGTERM};

    use super::is_own;

    const TERM: u64 = 1 << 14;

    #[test]
    fn who_catches_the_signal_ends_itself() {
        assert!(is_own(TERM, &["python3.11"], SIGTERM, false));
        assert!(!is_own(TERM, &["python3.11"], SIGQUIT, false));
        assert!(!is_own(1 << 1, &["python3.11"], SIGTERM, false));
    }

    #[test]
    fn what_a_runtime_catches_means_nothing_unless_it_was_chosen() {
        // PHP's server catches this from its first request on, and ends at once by it.
        let php = 0x0400_4a07;
        for (caught, names) in [
            (TERM, ["node", "node"]),
            (TERM, ["ruby3.1", "puma"]),
            (php, ["php8.2", "php"]),
            (php, ["php-fpm8.2", "php-fpm8.2"]),
            (TERM, ["nginx", "nginx"]),
            (TERM, ["redis-check-rdb", "redis-server"]),
            (TERM, ["python3.11", "twistd"]),
            (TERM, ["perl", "starman master "]),
            (0xffff_fffd_7fc1_feff, ["server", "server"]),
        ] {
            assert!(!is_own(caught, &names, SIGTERM, false), "{names:?}");
            assert!(is_own(caught, &names, SIGTERM, true), "{names:?}");
        }
    }
}
