//! The thread that writes to stderr and to the journal. Stderr may be a pipe that nobody reads, or that is closed: the fleet must
//! neither wait for it nor fall with it. So what finds no room is dropped.

use std::{
    io::{self, Write},
    sync::{
        LazyLock,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use nix::sys::signal::{SigSet, Signal};

use super::journald::{self, Entry};
use crate::sys::capabilities::{self, Capabilities};

/// Texts that may wait: more than llb has to say in a bad minute.
const WAITING: usize = 1024;

/// How long the end of llb waits for somebody to read what it has written last.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

enum Order {
    Write(Vec<u8>),
    /// For the journal.
    Enter(Entry),
    /// Answer when all before this has been written.
    Report(SyncSender<()>),
}

static WRITER: LazyLock<SyncSender<Order>> = LazyLock::new(|| {
    let (orders, inbox) = sync_channel(WAITING);
    // Without a thread everything is dropped with the inbox, and llb does its work in silence.
    let _ = thread::Builder::new().name("llb-stderr".into()).spawn(move || write_all(&inbox));
    orders
});

fn write_all(inbox: &Receiver<Order>) {
    // Each thread has its own, and to write takes none.
    let _ = capabilities::keep(Capabilities::NONE);
    // Or a terminal that stops jobs which write from the background (`stty tostop`) sends SIGTTOU for every attempt: one worker
    // less each time.
    let _ = SigSet::from(Signal::SIGTTOU).thread_block();
    for order in inbox {
        match order {
            // A closed stderr is no reason to stop.
            Order::Write(text) => drop(io::stderr().write_all(&text)),
            // A journal that takes nothing may read what is written.
            Order::Enter(Entry { bytes, text }) => {
                if journald::send(&bytes).is_err() {
                    let _ = writeln!(io::stderr(), "{text}");
                }
            }
            // Who asked has waited long enough.
            Order::Report(done) => drop(done.try_send(())),
        }
    }
}

/// Writes one line as it is.
pub(super) fn raw(text: &str) {
    let _ = WRITER.try_send(Order::Write(format!("{text}\n").into_bytes()));
}

/// Enters into the journal.
pub(super) fn journal(entry: Entry) {
    let _ = WRITER.try_send(Order::Enter(entry));
}

/// Waits until all is written, or nobody reads it.
pub(crate) fn flush() {
    let (done, is_done) = sync_channel(1);
    if WRITER.try_send(Order::Report(done)).is_ok() {
        let _ = is_done.recv_timeout(FLUSH_WITHIN);
    }
}

/// Where the log is written; each write is a whole text.
pub(super) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let _ = WRITER.try_send(Order::Write(text.to_owned()));
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
