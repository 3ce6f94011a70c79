//! Running other programs.

use std::io::{BufRead, BufReader, Write, pipe};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The cargo that runs this xtask.
pub fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

/// Runs a command to its end, its output shown as it comes.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// Runs a command quietly and returns what it wrote to its standard output.
pub fn output(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let out = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start `{shown}`"))?;
    if !out.status.success() {
        bail!("`{shown}` failed ({}): {}", out.status, String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Runs a command and returns what it wrote to both its streams, however it ended.
pub fn listen(command: &mut Command) -> Result<String> {
    hear(command, &|_| {}).map(|(heard, _)| heard)
}

/// Runs a command, shows its output and returns it too.
pub fn tee(command: &mut Command) -> Result<(String, Result<()>)> {
    let heard = hear(command, &|line| println!("{line}"))?;
    std::io::stdout().flush().context("cannot write to standard output")?;
    Ok(heard)
}

/// One pipe carries both of its streams, because cargo
/// names a test suite on one and the suite's result comes on the other.
fn hear(command: &mut Command, line_comes: &dyn Fn(&str)) -> Result<(String, Result<()>)> {
    let shown = shown(command);
    let (reader, writer) = pipe().context("cannot make a pipe")?;
    let errors = writer.try_clone().context("cannot copy a pipe's end")?;
    let mut child = command
        .stdin(Stdio::inherit())
        .stdout(writer)
        .stderr(errors)
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    // The command holds our copies of the pipe's writing end; the reader sees no end until they are closed.
    command.stdout(Stdio::null()).stderr(Stdio::null());

    let mut heard = String::new();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.with_context(|| format!("cannot read the output of `{shown}`"))?;
        let line = String::from_utf8_lossy(&line);
        line_comes(&line);
        heard.push_str(&line);
        heard.push('\n');
    }
    let status = child.wait().with_context(|| format!("cannot wait for `{shown}`"))?;
    let verdict = if status.success() { Ok(()) } else { Err(anyhow::anyhow!("`{shown}` failed ({status})")) };
    Ok((heard, verdict))
}

/// The full path of a program. /usr/sbin counts: servers live there, and a plain user's PATH leaves it out.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|dir| dir.join(program))
        .find(|candidate| candidate.is_file())
}

/// Whether we are root.
pub fn is_root() -> Result<bool> {
    Ok(output(Command::new("id").arg("-u"))?.trim() == "0")
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
