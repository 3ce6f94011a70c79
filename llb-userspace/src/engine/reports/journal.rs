//! The events of a fleet: the last of them for whoever asks, and each as it comes for whoever follows.

use std::{collections::VecDeque, time::Duration};

use tokio::{sync::broadcast, time::timeout};

use crate::{fleet::Kind, observe::event::Event};

/// Events that are kept: a reload of the largest fleet makes some five for each of its workers.
const KEPT: usize = 2048;

/// Messages of workers' own programs that are kept, apart: a talkative worker must not push out what happens.
const KEPT_MESSAGES: usize = 256;

/// Events that a follower may be behind; then it misses some, and is told how many.
const BEHIND: usize = 1024;

/// How long the end of llb waits for followers to read: one that reads needs less than a millisecond.
const FLUSH_WITHIN: Duration = Duration::from_millis(200);

/// The events so far, and those who follow.
#[derive(Debug)]
pub(in crate::engine) struct Journal {
    kept: VecDeque<Event>,
    messages: VecDeque<Event>,
    next: u64,
    followers: broadcast::Sender<Event>,
}

impl Journal {
    pub(in crate::engine) fn new() -> Self {
        Journal { kept: VecDeque::new(), messages: VecDeque::new(), next: 1, followers: broadcast::Sender::new(BEHIND) }
    }

    /// Enters an event; its number is given here.
    pub(in crate::engine) fn enter(&mut self, event: Event) {
        let event = Event { seq: self.next, ..event };
        self.next += 1;
        let is_message = event.event == Kind::Message.name();
        let (kept, most) = if is_message { (&mut self.messages, KEPT_MESSAGES) } else { (&mut self.kept, KEPT) };
        if kept.len() == most {
            kept.pop_front();
        }
        kept.push_back(event.clone());
        // Without followers nobody hears it.
        let _ = self.followers.send(event);
    }

    /// The number of the last event; 0 before the first.
    pub(in crate::engine) fn last(&self) -> u64 {
        self.next - 1
    }

    /// The number of the last event, and all that come after it.
    pub(in crate::engine) fn subscribe(&self) -> (u64, broadcast::Receiver<Event>) {
        (self.last(), self.followers.subscribe())
    }

    /// Waits until all who follow have heard the last event, or do not listen.
    pub(in crate::engine) async fn flush(&self) {
        let _ = timeout(FLUSH_WITHIN, self.followers.closed()).await;
    }

    /// What there is, and what comes.
    pub(in crate::engine) fn follow(&self) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let mut past: Vec<Event> = self.kept.iter().chain(&self.messages).cloned().collect();
        past.sort_by_key(|event| event.seq);
        (past, self.followers.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event { seq: 0, at_ms: 0, event: "ready".into(), slot: None, pid: None, generation: 1, cause: String::new() }
    }

    #[test]
    fn a_follower_gets_what_was_and_what_comes() {
        let mut journal = Journal::new();
        (0..=KEPT).for_each(|_| journal.enter(event()));
        let (before, mut coming) = journal.follow();
        assert_eq!((before.len(), before[0].seq), (KEPT, 2));
        journal.enter(event());
        assert_eq!(coming.try_recv().unwrap().seq, KEPT as u64 + 2);
    }

    #[test]
    fn messages_push_out_messages_only() {
        let mut journal = Journal::new();
        journal.enter(event());
        (0..2 * KEPT).for_each(|_| journal.enter(Event { event: "message".into(), ..event() }));
        journal.enter(event());
        let (past, _) = journal.follow();
        assert_eq!((past.len(), past[0].seq, past[1].event.as_str()), (KEPT_MESSAGES + 2, 1, "message"));
        assert!(past.is_sorted_by_key(|event| event.seq));
    }
}
