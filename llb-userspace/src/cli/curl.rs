//! `llb curl`: asks one worker, over HTTP.

use std::{
    io::{self, ErrorKind, Write},
    process::ExitCode,
};

use anyhow::Context;
use tokio::{net::TcpStream, runtime::Builder, time::timeout};

use super::{args::CurlArgs, exit::Exit};
use crate::{
    control::{Connected, ControlError, Failed, FailureKind},
    get::get,
    observe::stderr,
};

pub(super) fn run(args: &CurlArgs) -> anyhow::Result<ExitCode> {
    let slot = args.slot;
    let within = humantime::format_duration(args.timeout);
    let connected = match args.fleet.of().reach(slot, args.port, args.timeout) {
        Ok(Ok(connected)) => connected,
        Ok(Err(Failed { error, failure })) => {
            let (how, exit) = match failure {
                Some(FailureKind::Refused) => ("refused", Exit::Refused),
                _ => ("failed", Exit::Failure),
            };
            stderr::line(&format!("llb: {how}: {error}"));
            return Ok(exit.into());
        }
        Err(ControlError::NoAnswer { source, .. }) if source.kind() == ErrorKind::WouldBlock => {
            stderr::line(&format!("llb: failed: the worker in slot {slot} takes no connection within {within}"));
            return Ok(Exit::Failure.into());
        }
        Err(error) => return Err(error.into()),
    };
    let runtime = Builder::new_current_thread().enable_all().build().context("cannot start an event loop")?;
    let Connected { stream, control: _control } = connected;
    let asked = runtime.block_on(async {
        stream.set_nonblocking(true)?;
        let stream = TcpStream::from_std(stream)?;
        let mut out = io::stdout();
        let write = |part: &[u8]| out.write_all(part).and_then(|()| out.flush());
        timeout(args.timeout, get(stream, &args.path, "*/*", write)).await.map_err(io::Error::from)?
    });
    match asked {
        Ok(head) if head.status.is_client_error() || head.status.is_server_error() => {
            stderr::line(&format!("llb: the worker in slot {slot} answers {}", head.status));
            Ok(Exit::Failure.into())
        }
        // Nobody reads any more, as `head` when it has seen enough.
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) if error.kind() == ErrorKind::TimedOut => {
            stderr::line(&format!("llb: failed: the worker in slot {slot} does not answer within {within}"));
            Ok(Exit::Failure.into())
        }
        Err(error) => Err(error).with_context(|| format!("the worker in slot {slot} does not answer over HTTP/1")),
    }
}
