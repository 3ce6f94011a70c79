//! The report channel, from the worker's side.

use std::{
    env::{VarError, var},
    io::{self, BufRead, BufReader, ErrorKind, Read},
    os::{fd::AsFd, unix::net::UnixStream},
};

use nix::{
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use serde_json::Value;
use socket2::SockRef;

use super::Error;
use crate::sys::inherited;

/// Names the descriptor of the channel.
const VARIABLE: &str = "LLB_FD";

/// The channel that llb has given to this process; none without llb.
pub(super) fn from_env() -> Result<Option<UnixStream>, Error> {
    let value = match var(VARIABLE) {
        Ok(value) => value,
        Err(VarError::NotPresent) => return Ok(None),
        Err(VarError::NotUnicode(value)) => return Err(Error::Variable(value.to_string_lossy().into_owned())),
    };
    let Ok(fd) = value.parse() else { return Err(Error::Variable(value)) };
    let stream = inherited::duplicate(fd).map(UnixStream::from);
    // Any socket of another kind, and any file, refuses this.
    let checked = stream.and_then(|stream| stream.peer_addr().map(|_| stream));
    checked.map(Some).map_err(|source| Error::Channel { fd, source })
}

/// Writes a line, its newline included, at once or not at all: a request must not wait for llb.
pub(super) fn say(channel: &UnixStream, line: &[u8]) -> io::Result<()> {
    // A short line is one message to the kernel, which takes all of it or nothing. The flags are for this call: whoever shares
    // the channel, a parent for one, may count on a descriptor that blocks.
    SockRef::from(channel).send_with_flags(line, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL).map(drop)
}

/// What llb says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Ping { id: u64 },
    Disconnect,
}

/// Reads what llb says until the channel ends.
pub(super) fn listen(channel: UnixStream, mut on_command: impl FnMut(Command)) {
    let mut lines = BufReader::new(Patient(channel));
    let mut line = Vec::new();
    loop {
        match lines.read_until(b'\n', &mut line) {
            Ok(0) => return,
            Ok(_) => {
                parse(&line).map(&mut on_command);
                line.clear();
            }
            // Somebody who shares the channel does not want it to block, and has read what was there.
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
            Err(_) => return,
        }
    }
}

/// Waits until there is something to read. A thread that waits in read(2) is woken for nothing whenever llb has read what we wrote,
/// as there is room to write then, and llb pays for it: a tenth of its time with many workers. In poll(2) it is not.
struct Patient(UnixStream);

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
        self.0.read(buffer)
    }
}

/// What a later llb says beyond this is not for us.
fn parse(line: &[u8]) -> Option<Command> {
    let message: Value = serde_json::from_slice(line).ok()?;
    match message.get("cmd")?.as_str()? {
        "ping" => Some(Command::Ping { id: message.get("id")?.as_u64()? }),
        "disconnect" => Some(Command::Disconnect),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn lines_are_understood_in_pieces_and_the_rest_ignored() {
        let (mut llbs, workers) = UnixStream::pair().unwrap();
        workers.set_nonblocking(true).unwrap();
        let said = b"{\"cmd\":\"ping\",\"id\":7}\n{\"cmd\":\"dance\"}\nwhat\n\n{\"cmd\":\"ping\"}\n{\"cmd\":\"disconnect\",\"x\":1}\n";
        let writer = std::thread::spawn(move || said.chunks(5).for_each(|piece| llbs.write_all(piece).unwrap()));
        let mut commands = Vec::new();
        listen(workers, |command| commands.push(command));
        writer.join().unwrap();
        assert_eq!(commands, [Command::Ping { id: 7 }, Command::Disconnect]);
    }

    #[test]
    fn nobody_waits_for_an_llb_that_does_not_read() {
        let (_llbs, workers) = UnixStream::pair().unwrap();
        let line = [b'x'; 64];
        let error = (0..1_000_000).find_map(|_| say(&workers, &line).err()).expect("the channel fills up");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
}
