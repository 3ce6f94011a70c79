//! One boot of the virtual machine.

use std::fs::File;
use std::io::{self, Read, Write, pipe};
use std::iter;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::machine::Machine;
use super::suites::Suite;

/// How long a machine may run.
const PATIENCE: Duration = Duration::from_secs(1_800);

/// What is to be done there, and on what.
pub(super) enum Purpose<'a> {
    /// To try llb as its user would. On two processors, because programs that share memory must also be right when they
    /// really run at once.
    Trial,
    /// To run llb's units under systemd.
    Service,
    /// To run the tests, which mind the time. One processor does an instruction in a nanosecond of its own time, and
    /// sleeps for none of ours: whatever else this machine does, and however slow it is, the tests do not notice.
    Tests(&'a [&'static Suite]),
}

impl Purpose<'_> {
    /// As `init.sh` knows it.
    fn words(&self) -> Vec<&'static str> {
        match self {
            Purpose::Trial => vec!["trial"],
            Purpose::Service => vec!["service"],
            Purpose::Tests(suites) => iter::once("tests").chain(suites.iter().map(|suite| suite.name)).collect(),
        }
    }

    fn processors(&self) -> &'static [&'static str] {
        match self {
            Purpose::Trial | Purpose::Service => &["-accel", "tcg,thread=multi", "-smp", "2"],
            Purpose::Tests(_) => &["-accel", "tcg,thread=single", "-smp", "1", "-icount", "shift=0,sleep=off"],
        }
    }
}

const MACHINE: [&str; 12] = [
    "-m",
    "2048",
    "-nodefaults",
    "-no-user-config",
    "-display",
    "none",
    "-serial",
    "stdio",
    "-no-reboot",
    "-nic",
    "none",
    "-append",
];

/// A machine that panics restarts at once, and so ends. What comes after the dashes is for `init.sh`.
const KERNEL: &str = "quiet oops=panic panic=-1 --";

/// How often a machine is started anew whose emulator broke it.
const ATTEMPTS: u32 = 3;

/// Boots a kernel, waits until the machine is off and returns what came on its console, which is in the file `log`
/// meanwhile.
pub(super) fn boot(
    machine: Machine,
    purpose: &Purpose<'_>,
    image: &Path,
    initramfs: &Path,
    log: &Path,
) -> Result<String> {
    for _ in 1..ATTEMPTS {
        let console = boot_once(machine, purpose, image, initramfs, log)?;
        if !is_broken_by_emulator(&console) {
            return Ok(console);
        }
        println!("{} was broken by its emulator, starting it anew", image.display());
    }
    boot_once(machine, purpose, image, initramfs, log)
}

/// Whether the kernel has met a breakpoint that it was just taking away again, on another processor. No processor does
/// so once it has been told of the change; with several threads, TCG does.
fn is_broken_by_emulator(console: &str) -> bool {
    console.contains("int3: 0000 [#1]")
}

fn boot_once(machine: Machine, purpose: &Purpose<'_>, image: &Path, initramfs: &Path, log: &Path) -> Result<String> {
    let program = machine.qemu();
    let (mut reader, writer) = pipe().context("cannot make a pipe")?;
    let errors = writer.try_clone().context("cannot copy a pipe's end")?;
    let mut qemu = Command::new(program);
    qemu.args(machine.model()).args(purpose.processors()).args(MACHINE);
    qemu.arg(format!("console={} {KERNEL} {}", machine.console(), purpose.words().join(" ")));
    qemu.arg("-kernel").arg(image).arg("-initrd").arg(initramfs);
    let mut child = qemu
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(errors)
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    // It holds our copies of the pipe's writing end; the reader sees no end until they are closed.
    drop(qemu);

    let mut log = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let (send, heard) = mpsc::channel();
    thread::spawn(move || {
        // Nobody waits for it only if we are at our end already.
        let _ = send.send(keep(&mut reader, &mut log));
    });
    let in_time = heard.recv_timeout(PATIENCE);
    if in_time.is_err() {
        child.kill().with_context(|| format!("cannot kill {program}"))?;
    }
    let status = child.wait().with_context(|| format!("cannot wait for {program}"))?;
    let late = in_time.is_err();
    let console = in_time.or_else(|_| heard.recv()).context("the console's reader is gone")?;
    let console = plain(&console.context("cannot read the machine's console")?);
    if late {
        bail!("still running after {} s, see whether it hangs; its console:\n{console}", PATIENCE.as_secs());
    }
    if !status.success() {
        bail!("{program} failed ({status}):\n{console}");
    }
    Ok(console)
}

/// Everything that comes, which is also written down as it comes.
fn keep(from: &mut impl Read, log: &mut impl Write) -> io::Result<Vec<u8>> {
    let (mut all, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        match from.read(&mut chunk)? {
            0 => return Ok(all),
            read => {
                log.write_all(&chunk[..read])?;
                all.extend(&chunk[..read]);
            }
        }
    }
}

/// The console's text, of which nothing can clear the reader's terminal: the firmware begins with sequences that would.
fn plain(console: &[u8]) -> String {
    String::from_utf8_lossy(console).chars().filter(|c| *c == '\n' || !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::{is_broken_by_emulator, plain};

    #[test]
    fn a_breakpoint_that_is_no_more_is_the_emulators_fault_and_nothing_else() {
        assert!(is_broken_by_emulator("[    1.966722] Oops: int3: 0000 [#1] PREEMPT SMP NOPTI"));
        assert!(is_broken_by_emulator("[    1.966722] int3: 0000 [#1] PREEMPT SMP NOPTI"));
        assert!(!is_broken_by_emulator("[    1.966722] Oops: general protection fault: 0000 [#1] PREEMPT SMP NOPTI"));
    }

    #[test]
    fn a_console_does_not_clear_the_terminal() {
        let console = b"\x1bc\x1b[?7l\x1b[2J\x1b[0mSeaBIOS\r\nBooting\x1bc\x1b[2J@vm booted\r\n";
        assert_eq!(plain(console), "c[?7l[2J[0mSeaBIOS\nBootingc[2J@vm booted\n");
    }
}
