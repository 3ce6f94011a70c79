//! A connection to one worker, which the master makes and hands over.

use std::{
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    net::TcpStream,
    os::{fd::OwnedFd, unix::net::UnixStream},
    time::Duration,
};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::{Client, ControlError};
use crate::{
    control::{Failed, Reply, Request},
    kernel::Limit,
};

/// A connection to one worker.
#[derive(Debug)]
pub(crate) struct Connected {
    pub stream: TcpStream,
    /// As long as this is open, nobody else gets it.
    pub control: UnixStream,
}

impl Client {
    /// Connects to a slot's worker.
    ///
    /// # Errors
    /// [`ControlError`]; [`ControlError::NoAnswer`] also if its queue takes no connection within `patience`.
    pub(crate) fn reach(
        &self,
        slot: u32,
        port: Option<Limit>,
        patience: Duration,
    ) -> Result<Result<Connected, Failed>, ControlError> {
        let (port, addr) = (port.map(|limit| limit.port), port.and_then(|limit| limit.addr));
        let answer = self.ask(Request::Reach { slot, port, addr }, Some(patience))?;
        let control = answer.into_inner();
        let (line, descriptor) = receive(&control).map_err(|source| self.no_answer(source))?;
        match (self.line(&mut line.as_slice())?, descriptor) {
            (None, _) => Err(self.ended()),
            (Some(Reply::Done(_)), Some(descriptor)) => Ok(Ok(Connected { stream: descriptor.into(), control })),
            (Some(Reply::Failed(failed @ Failed { failure: Some(_), .. })), _) => Ok(Err(failed)),
            (Some(Reply::Failed(Failed { error, .. })), _) => {
                Err(ControlError::NotUnderstood { name: self.name.clone(), says: error })
            }
            (Some(Reply::Done(done)), None) => {
                Err(ControlError::NotUnderstood { name: self.name.clone(), says: format!("{done:?}") })
            }
        }
    }
}

/// Receives a line, and the descriptor that comes with it. Nothing follows it.
fn receive(from: &UnixStream) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
    let mut line = Vec::new();
    let mut descriptor = None;
    while !line.ends_with(b"\n") {
        let mut bytes = [0; 1024];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let data = &mut [IoSliceMut::new(&mut bytes)];
        let length = recvmsg(from, data, &mut control, RecvFlags::CMSG_CLOEXEC)?.bytes;
        if length == 0 {
            break;
        }
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                descriptor = descriptors.last().or(descriptor);
            }
        }
        line.extend_from_slice(&bytes[..length]);
    }
    Ok((line, descriptor))
}
