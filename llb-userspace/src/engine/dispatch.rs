//! What reaches the engine from the kernel, from workers, and from those who ask.

use nix::unistd::Pid;

use super::{
    Engine,
    answers::Begun,
    diagnose::{self, Held},
    messages::Message,
    worker::ExitRecord,
};
use crate::{
    fleet::State,
    kernel::{Event, EventKind},
    model::{Instant, WorkerId},
    report::Report,
    sys::procfs,
};

impl Engine {
    /// A worker's socket did something. One of a cgroup that is not a worker's is one of a worker just reaped.
    pub(super) fn socket_event(&mut self, event: Event, now: Instant) {
        if self.rescue.takes(&event) {
            return;
        }
        match (event.kind, self.by_cgroup.get(&event.cgroup)) {
            (EventKind::Close, _) => self.lives.hears_close(event.cookie, now),
            (EventKind::Listen, Some(id)) => {
                self.bound.listens(event.address);
                self.lives.listens(*id, event.cookie, event.address, now);
            }
            (EventKind::Bind, Some(id)) => {
                self.lives.binds(*id, event.address);
                // What is another fleet's is refused.
                if self.others.holder(event.address.0.port()).is_none() {
                    self.bound.binds(event.cookie, *id, event.address, now);
                }
            }
            (EventKind::Receive, Some(id)) => self.lives.receives(*id, event.cookie, event.address, now),
            (EventKind::Release, _) => {
                self.bound.releases(event.cookie);
                self.lives.releases(event.cookie, now);
            }
            (EventKind::Listen | EventKind::Bind | EventKind::Receive, None) | (EventKind::Answer, _) => {}
        }
        let worker = self.by_cgroup.get(&event.cgroup).and_then(|id| self.lives.worker(*id));
        if event.kind == EventKind::Listen && worker.is_some_and(|worker| worker.state != State::Serving) {
            // Whoever is not ready is expected: it must not be given connections past the selector.
            self.reconcile(now);
        }
    }

    pub(super) fn message(&mut self, message: Message, now: Instant) {
        match message {
            Message::Said { id, reports, faults, messages } => {
                for fault in faults {
                    tracing::warn!(slot = %self.slot(id), "report channel: {fault}; counted from now on");
                }
                messages.iter().for_each(|message| self.lives.writes(id, message));
                reports.into_iter().for_each(|report| self.report(id, report, now));
            }
            Message::HungUp { id } => self.lives.hangs_up(id, now),
            Message::Exited { id, status, tail } => {
                let pid = self.running.get(&id).map_or(Pid::from_raw(0), |running| running.pid);
                self.ends(ExitRecord { id, pid, status, tail, reason: None }, now);
            }
            Message::Explained { record, held } => self.exited(record, held.as_ref(), now),
            Message::SaidReady { pid, cgroup } => self.said_ready(pid, cgroup.as_deref(), now),
            Message::Accepts { id, cookie } => self.lives.accepts(id, cookie, now),
            Message::Queues { id, cookie, waiting } => self.lives.queues(id, cookie, waiting, now),
            Message::Checked { id, answer } => self.checked(id, answer, now),
            Message::Memory { resident } => self.measured(resident),
            Message::Outside { id, outside } => self.found_outside(id, outside),
            Message::Datagrams { found } => self.saw_queues(&found),
            Message::Looked { id, look } => self.looked(id, look, now),
            // Who asked may have gone; what was asked for is done all the same.
            Message::Command { command, reply } => {
                let (before, coming) = self.journal.subscribe();
                let granted = self.command(command, now);
                // What is done at once is told before who asked hears of it.
                self.perform(now);
                let begun = granted.map(|granted| Begun { granted, before, after: self.journal.last(), coming });
                drop(reply.send(begun));
            }
            Message::Follow { reply } => drop(reply.send(self.journal.follow())),
            // Who asked may have gone.
            Message::Reach { slot, port, reply } => drop(reply.send(self.target(slot, port))),
            Message::Admit { cookie, listener, reply } => drop(reply.send(self.admit(cookie, listener))),
            Message::Seating { groups, reply } => drop(reply.send(self.seating(&groups))),
            Message::Ask { reply } => match self.status(now) {
                // Who asked may have gone.
                Ok(status) => drop(reply.send((status, self.queues()))),
                Err(error) => tracing::error!(%error, "cannot show the status"),
            },
        }
    }

    /// A worker has ended. Why it did not get its port is looked up beside the loop: there may be thousands of processes and
    /// descriptors to look through.
    fn ends(&mut self, record: ExitRecord, now: Instant) {
        let Some(port) = self.lives.worker(record.id).and_then(diagnose::wanted_port) else {
            return self.exited(record, None, now);
        };
        let holder = tokio::task::spawn_blocking(move || procfs::port_holder(port));
        let inbox = self.inbox.clone();
        tokio::task::spawn_local(async move {
            let holder = holder.await.ok().and_then(|found| found.ok().flatten());
            let held = holder.map(|holder| Held { port, holder });
            // A closed inbox is the end of the engine.
            let _ = inbox.send(Message::Explained { record, held }).await;
        });
    }

    /// A worker's word; it can only speak for itself.
    fn report(&mut self, id: WorkerId, report: Report, now: Instant) {
        if !self.running.contains_key(&id) {
            return;
        }
        self.lives.speaks(id);
        self.updater.hear(id, &report, now);
        match report {
            Report::Latency { .. } | Report::Pong { .. } => {}
            Report::Ready => self.lives.says_ready(id, now),
            Report::Disconnect => self.lives.asks_to_leave(id, now),
        }
    }
}
