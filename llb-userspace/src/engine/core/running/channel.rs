//! What a worker says on its report channel.

use std::{cell::RefCell, rc::Rc, time::Duration};

use tokio::{
    io::AsyncReadExt,
    net::UnixStream,
    sync::mpsc::Sender,
    time::{Instant, timeout},
};

use crate::{
    engine::inbox::Message,
    model::WorkerId,
    report::{Reader, Report, ReportCounts},
};

/// How often a worker's budget of lines is renewed, and how many it has: ten thousand a second. What is more is
/// dropped, as an estimate is no better for it.
const BUDGET_EVERY: Duration = Duration::from_millis(100);
const BUDGET_LINES: u32 = 1_000;

/// Read from a worker's channel, or its output, at once; other workers' turns come in between.
pub(super) const CHUNK_BYTES: usize = 16 * 1024;

/// How long a worker may pause in the midst of the word `ready`; after that it has ended without a newline.
const END_OF_WORD: Duration = Duration::from_millis(50);

/// Reads the report channel until it closes.
pub(super) async fn listen(
    id: WorkerId,
    mut channel: UnixStream,
    counts: Rc<RefCell<ReportCounts>>,
    inbox: Sender<Message>,
) {
    let mut reader = Reader::new(BUDGET_LINES);
    let mut refilled = Instant::now();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut is_open = true;
    while is_open {
        // The time counts only where a word has begun: a worker that says nothing costs nothing.
        let read = match reader.awaits_end_of_word() {
            true => timeout(END_OF_WORD, channel.read(&mut chunk)).await,
            false => Ok(channel.read(&mut chunk).await),
        };
        // Renewed when something is read, not by a timer, for the same reason.
        if refilled.elapsed() >= BUDGET_EVERY {
            refilled = Instant::now();
            reader.refill(BUDGET_LINES);
        }
        let mut reports: Vec<Report> = Vec::new();
        match read {
            Ok(Ok(read @ 1..)) => reader.feed(&chunk[..read], |report| reports.push(report)),
            Ok(Ok(0) | Err(_)) => {
                is_open = false;
                reader.end_word(|report| reports.push(report));
            }
            Err(_) => reader.end_word(|report| reports.push(report)),
        }
        counts.borrow_mut().clone_from(reader.counts());
        let (faults, messages) = (reader.newly_seen(), reader.messages());
        if (!reports.is_empty() || !faults.is_empty() || !messages.is_empty())
            && inbox.send(Message::Reported { id, reports, faults, messages }).await.is_err()
        {
            return;
        }
        tokio::task::yield_now().await;
    }
    // A closed inbox is the end of the engine.
    let _ = inbox.send(Message::HungUp { id }).await;
}
