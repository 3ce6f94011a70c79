//! A worker whose llb is the test itself: what it says and does on the report channel, with nothing else in between.

use std::{
    io::{BufRead, BufReader, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};

use super::{DEADLINE, Plain, Stage};

/// The worker, on a stage of its own.
pub(crate) struct AsLlb {
    worker: Plain,
    channel: BufReader<UnixStream>,
    pings: u64,
    _stage: Stage,
}

impl AsLlb {
    /// Starts it with the channel as llb gives it, and waits until it says that it is ready.
    #[track_caller]
    pub(crate) fn start(command: &[&str]) -> Self {
        let stage = Stage::new();
        let (ours, workers) = UnixStream::pair().expect("a channel");
        ours.set_read_timeout(Some(DEADLINE)).expect("a read timeout");
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec 3<&0 0</dev/null; exec \"$@\"", "sh"]).args(command).current_dir(stage.path());
        shell.envs([("PORT", "8080"), ("LLB_FD", "3"), ("NODE_CHANNEL_FD", "3")]);
        shell.env("NODE_CHANNEL_SERIALIZATION_MODE", "json");
        let worker = Plain::spawn(shell.stdin(Stdio::from(OwnedFd::from(workers))).stdout(Stdio::null()));
        // It holds a copy of the worker's end, which would hide that the worker has closed its own.
        drop(shell);
        let mut this = AsLlb { worker, channel: BufReader::new(ours), pings: 0, _stage: stage };
        this.hear(&json!({"cmd": "ready"}));
        this
    }

    /// Pings it, and returns its answer.
    #[track_caller]
    pub(crate) fn ping(&mut self) -> Value {
        self.pings += 1;
        let id = self.pings;
        self.say(&json!({"cmd": "ping", "id": id}));
        self.hear(&json!({"cmd": "pong", "id": id}))
    }

    /// Writes a line.
    #[track_caller]
    pub(crate) fn say(&mut self, message: &Value) {
        writeln!(self.channel.get_mut(), "{message}").expect("a worker that reads");
    }

    /// Reads lines until one has these fields.
    #[track_caller]
    fn hear(&mut self, fields: &Value) -> Value {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.channel.read_line(&mut line).expect("a line in time"), 0, "it has closed the channel");
            let said: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
            if fields.as_object().expect("an object").iter().all(|(name, value)| said.get(name) == Some(value)) {
                return said;
            }
        }
    }

    /// Keeps it from running for `late`, again and again: its timers are late by about that.
    pub(crate) fn hold_up(&self, times: u32, late: Duration, between: Duration) {
        for _ in 0..times {
            for (signal, pause) in [(Signal::SIGSTOP, late), (Signal::SIGCONT, between)] {
                kill(self.worker.pid(), signal).expect("a child");
                thread::sleep(pause);
            }
        }
    }
}
