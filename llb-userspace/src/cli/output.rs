//! What a command writes on standard output.

use std::io::{self, ErrorKind, Write};

use anyhow::Context;

/// Writes all of it; false if nobody reads any more, as `head` when it has seen enough.
pub(super) fn write(text: &str) -> anyhow::Result<bool> {
    let mut out = io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("cannot write to standard output"),
    }
}
