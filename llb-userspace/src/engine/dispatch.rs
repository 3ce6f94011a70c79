//! What reaches the engine from the kernel, from workers, and from those who ask.

use nix::unistd::Pid;

use super::{
    Engine,
    core::ExitRecord,
    inbox::Message,
    processes::{found_outside, looked},
    requests::Begun,
};
use crate::{
    fleet::{State, ran_out_of_memory},
    kernel::{Event, EventKind},
    model::{Instant, WorkerId},
    report::Report,
};

impl Engine {
    /// A worker's socket did something. One of a cgroup that is not a worker's is one of a worker just reaped.
    pub(super) fn socket_event(&mut self, event: Event, now: Instant) {
        if self.core.sockets.takes(&event) {
            return;
        }
        let id = self.core.worker_in(event.cgroup);
        // What is another fleet's is refused.
        let is_refused = self.processes.others.holder(event.address.0.port()).is_some();
        self.health.on_socket_event(&event, id, is_refused, now);
        match (event.kind, id) {
            (EventKind::Close, _) => self.core.supervisor.listener_closes(event.cookie, now),
            (EventKind::Listen, Some(id)) => self.core.supervisor.listens(id, event.cookie, event.address, now),
            (EventKind::Bind, Some(id)) => self.core.supervisor.binds(id, event.address),
            (EventKind::Receive, Some(id)) => self.core.supervisor.receives(id, event.cookie, event.address, now),
            (EventKind::Release, _) => self.core.supervisor.releases(event.cookie, now),
            (EventKind::Listen | EventKind::Bind | EventKind::Receive, None) | (EventKind::Answer, _) => {}
        }
        let worker = id.and_then(|id| self.core.supervisor.worker(id));
        if event.kind == EventKind::Listen && worker.is_some_and(|worker| worker.state != State::Serving) {
            // A worker that is not ready yet is entered as expected, so that the kernel gives it no connections past the selector.
            self.core.reconcile(now);
        }
    }

    pub(super) fn message(&mut self, message: Message, now: Instant) {
        match message {
            Message::Reported { id, reports, faults, messages } => {
                for fault in faults {
                    tracing::warn!(slot = %self.core.slot(id), "report channel: {fault}; counted from now on");
                }
                messages.iter().for_each(|message| self.core.supervisor.writes(id, message));
                reports.into_iter().for_each(|report| self.report(id, report, now));
            }
            Message::NotStarted { id, error } => self.processes.not_started(&mut self.core, id, error, now),
            Message::Others { ports } => self.processes.found_others(ports, now),
            Message::HungUp { id } => self.core.supervisor.hangs_up(id, now),
            Message::Exited { id, status, tail } => {
                let running = self.core.running.get(&id);
                let pid = running.map_or(Pid::from_raw(0), |running| running.pid);
                let ran_out_of_memory = running.is_some_and(|running| ran_out_of_memory(running.cgroup.path()));
                let record = ExitRecord { id, pid, status, ran_out_of_memory, tail, reason: None };
                self.processes.ends(&mut self.core, record, now);
            }
            Message::Explained { record, held } => self.processes.exited(&mut self.core, record, held.as_ref(), now),
            Message::SaidReady { pid, cgroup } => {
                self.processes.said_ready(&mut self.core, pid, cgroup.as_deref(), now);
            }
            Message::Accepts { id, cookie } => self.core.supervisor.accepts(id, cookie, now),
            Message::Queues { id, cookie, waiting } => self.core.supervisor.queues(id, cookie, waiting, now),
            Message::Checked { id, answer } => self.processes.checked(&mut self.core, id, answer, now),
            Message::Memory { resident } => self.health.recycler.measured(&mut self.core, resident),
            Message::Outside { id, outside } => found_outside(&mut self.core, id, outside),
            Message::Datagrams { found } => self.health.saw_queues(&mut self.core, &found),
            Message::Looked { id, look } => looked(&mut self.core, id, look, now),
            // Who asked may have gone; what was asked for is done all the same.
            Message::Command { command, reply } => {
                let (before, coming) = self.reports.journal.subscribe();
                let granted = self.command(command, now);
                // The events of what is done at once come before the reply, however long this turn becomes.
                while self.core.supervisor.has_effects() {
                    self.perform(now);
                }
                let begun =
                    granted.map(|granted| Begun { granted, before, after: self.reports.journal.last(), coming });
                drop(reply.send(begun));
            }
            Message::Follow { reply } => drop(reply.send(self.reports.journal.follow())),
            // Who asked may have gone.
            Message::Reach { slot, port, reply } => drop(reply.send(self.core.target(slot, port))),
            Message::Admit { cookie, listener, reply } => drop(reply.send(self.core.admit(cookie, listener))),
            Message::Seating { groups, reply } => drop(reply.send(self.core.seating(&groups))),
            Message::Ask { reply } => match self.status(now) {
                // Who asked may have gone.
                Ok(status) => drop(reply.send((status, self.core.queues()))),
                Err(error) => tracing::error!(%error, "cannot show the status"),
            },
        }
    }

    /// A worker's word; it can only speak for itself.
    fn report(&mut self, id: WorkerId, report: Report, now: Instant) {
        if !self.core.running.contains_key(&id) {
            return;
        }
        self.core.supervisor.speaks(id);
        self.core.updater.on_report(id, &report, now);
        match report {
            Report::Latency { .. } | Report::Pong { .. } => {}
            Report::Ready => self.core.supervisor.says_ready(id, now),
            Report::Disconnect => self.core.supervisor.asks_to_leave(id, now),
        }
    }
}
