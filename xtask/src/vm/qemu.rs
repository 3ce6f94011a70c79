//! One boot of the virtual machine.

use std::io::{Read, pipe};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

pub(super) const PROGRAM: &str = "qemu-system-x86_64";

/// The Debian package of [`PROGRAM`].
pub(super) const PACKAGE: &str = "qemu-system-x86";

/// How long a machine may run.
const PATIENCE: Duration = Duration::from_secs(1_200);

/// Two processors, because programs that share memory must also be right when they really run at once. `-cpu max`,
/// because llb's libraries may want what the oldest model lacks.
const MACHINE: [&str; 19] = [
    "-accel",
    "tcg,thread=multi",
    "-cpu",
    "max",
    "-smp",
    "2",
    "-m",
    "2048",
    "-nodefaults",
    "-no-user-config",
    "-display",
    "none",
    "-serial",
    "stdio",
    "-no-reboot",
    "-append",
    // A machine that panics restarts at once, and so ends.
    "console=ttyS0 quiet oops=panic panic=-1",
    "-nic",
    "none",
];

/// Boots a kernel, waits until the machine is off and returns what came on its console.
pub(super) fn boot(image: &Path, initramfs: &Path) -> Result<String> {
    let (mut reader, writer) = pipe().context("cannot make a pipe")?;
    let errors = writer.try_clone().context("cannot copy a pipe's end")?;
    let mut qemu = Command::new(PROGRAM);
    qemu.args(MACHINE).arg("-kernel").arg(image).arg("-initrd").arg(initramfs);
    let mut child = qemu
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(errors)
        .spawn()
        .with_context(|| format!("cannot start {PROGRAM}; install {PACKAGE}"))?;
    // It holds our copies of the pipe's writing end; the reader sees no end until they are closed.
    drop(qemu);

    let (send, heard) = mpsc::channel();
    thread::spawn(move || {
        let mut console = Vec::new();
        let read = reader.read_to_end(&mut console).map(|_| console);
        // Nobody waits for it only if we are at our end already.
        let _ = send.send(read);
    });
    let in_time = heard.recv_timeout(PATIENCE);
    if in_time.is_err() {
        child.kill().with_context(|| format!("cannot kill {PROGRAM}"))?;
    }
    let status = child.wait().with_context(|| format!("cannot wait for {PROGRAM}"))?;
    let late = in_time.is_err();
    let console = in_time.or_else(|_| heard.recv()).context("the console's reader is gone")?;
    let console = plain(&console.context("cannot read the machine's console")?);
    if late {
        bail!("still running after {} s, see whether it hangs; its console:\n{console}", PATIENCE.as_secs());
    }
    if !status.success() {
        bail!("{PROGRAM} failed ({status}):\n{console}");
    }
    Ok(console)
}

/// The console's text, of which nothing can clear the reader's terminal: the firmware begins with sequences that would.
fn plain(console: &[u8]) -> String {
    String::from_utf8_lossy(console).chars().filter(|c| *c == '\n' || !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn a_console_does_not_clear_the_terminal() {
        let console = b"\x1bc\x1b[?7l\x1b[2J\x1b[0mSeaBIOS\r\nBooting\x1bc\x1b[2J@vm booted\r\n";
        assert_eq!(plain(console), "c[?7l[2J[0mSeaBIOS\nBootingc[2J@vm booted\n");
    }
}
