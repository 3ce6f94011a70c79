//! The loop: takes in what happens, one thing at a time, and performs what is decided.

use std::{cell::Cell, time::Duration};

use nix::sys::signal::Signal;
use tokio::{
    sync::mpsc,
    task::{JoinSet, yield_now},
};

use super::{
    Engine, Heeds, RunError,
    core::Core,
    inbox::Message,
    processes::{listen, pass_on, sight},
    reports::answer,
    requests::{Scraper, answers, lookers, probe_answers},
    signals::{SignalAction, Signals},
    waiting::{Lines, arrival},
};
use crate::{
    control,
    fleet::{Command, Granted, Refusal, Sight, Style, Worker},
    kernel::{Event, EventKind, Events},
    metrics::{Answer, Listener, Question, serve},
    model::Instant,
    report::say,
    sys::{alarm::Alarm, clock::now},
    updater::UPDATE_EVERY,
};

impl Engine {
    pub(super) async fn run_loop(
        &mut self,
        mut inbox: mpsc::Receiver<Message>,
        stop: impl Future<Output = ()>,
        heeds: Heeds,
    ) -> Result<(), RunError> {
        let failed = |attempt| move |source| RunError::Loop { attempt, source };
        let signals = (heeds == Heeds::Signals).then(Signals::listen).transpose();
        let mut signals = signals.map_err(failed("wait for signals"))?;
        let lookers = lookers();
        let reacher = self.reacher.clone();
        let answers = answers(self.core.inbox.clone(), lookers.clone(), reacher.clone(), self.asking.clone());
        let scraper =
            self.core.config.scrape.clone().map(|scrape| Scraper::new(self.core.inbox.clone(), reacher, scrape));
        let control = control::Server::open(self.lock.path())?.run(answers);
        // Ends with this.
        let mut beside = JoinSet::new();
        if let Some(listener) = self.metrics.take() {
            let scrapes = scraper.is_some();
            let answers = probe_answers(self.core.inbox.clone(), lookers, scraper);
            beside.spawn_local(serve_metrics(listener, scrapes, answers));
        }
        if let Some((listener, headroom)) = self.agent.take().zip(self.reports.headroom.clone()) {
            beside.spawn_local(answer(listener, headroom));
        }
        tokio::pin!(control);
        let socket = self.processes.notify.clone();
        let notified = listen(&socket, self.core.inbox.clone());
        tokio::pin!(notified);
        // What an earlier master has left in the maps, and is not so any more, goes.
        self.core.reconcile(now());
        // Those that are told that the fleet serves may ask at once.
        self.perform(now());
        let mut events = self.core.updater.steering_mut().take_events()?;
        let mut tick = Alarm::new().map_err(failed("make a timer"))?;
        tick.set(Duration::ZERO).map_err(failed("set a timer"))?;
        tokio::pin!(stop);
        let mut stopping = false;

        while !self.down {
            tokio::select! {
                biased;
                rung = tick.rings() => {
                    rung.map_err(failed("wait for a timer"))?;
                    self.tick(self.reports.turns.begin());
                    tick.set(UPDATE_EVERY).map_err(failed("set a timer"))?;
                }
                action = next_signal(&mut signals) => self.on_signal(action, self.reports.turns.begin()),
                () = &mut stop, if !stopping => {
                    stopping = true;
                    self.stop(self.reports.turns.begin());
                }
                batch = next(&mut events) => {
                    let batch = batch.map_err(failed("read the kernel's events"))?;
                    let now = self.reports.turns.begin();
                    let closed = batch.iter().any(|event| event.kind == EventKind::Close);
                    for event in batch {
                        self.socket_event(event, now);
                        self.perform(now);
                    }
                    if closed {
                        // It may have been the last.
                        self.waiting.tend_standby(&mut self.core, now);
                    }
                    self.waiting.serve_lines(&mut self.core, now);
                }
                arrived = arrival(&mut self.waiting.lines) => {
                    arrived.map_err(failed("wait for connections"))?;
                    self.waiting.serve_lines(&mut self.core, self.reports.turns.begin());
                }
                message = inbox.recv() => {
                    if let Some(message) = message {
                        self.message(message, self.reports.turns.begin());
                    }
                }
                // What the last turn had no time for.
                () = yield_now(), if self.waiting.has_to_serve() => {
                    self.waiting.serve_lines(&mut self.core, self.reports.turns.begin());
                }
                () = yield_now(), if self.core.supervisor.has_effects() || self.processes.has_to_start() => drop(self.reports.turns.begin()),
                never = &mut control => match never {},
                never = &mut notified => match never {},
            }
            self.perform(now());
            self.start_workers(now());
            self.reports.keep_record(&mut self.core, self.lock.path());
            self.reports.send_state(&self.core);
            self.reports.turns.end(now());
        }
        self.reports.journal.flush().await;
        Ok(())
    }

    fn tick(&mut self, now: Instant) {
        self.processes.look_at_asked(&mut self.core, now);
        self.processes.look_at_draining(&mut self.core, now);
        {
            let (Core { supervisor, updater, running, config, .. }, udp) = (&mut self.core, &self.health.udp);
            let (processes, chosen, one_asks) = (&self.processes, config.stop_signal.is_some(), Cell::new(false));
            let sight = |worker: &Worker| {
                let seen = sight(worker, running.get(&worker.id), updater, now);
                let ends_itself =
                    seen.ends_itself && (chosen || processes.may_be_asked(worker, seen, updater, &one_asks));
                Sight { ends_itself, has_flows: udp.has_flows(worker.seats()), ..seen }
            };
            supervisor.tick(now, sight, |seat| updater.is_drained(seat, now));
        }
        self.perform(now);
        for (id, ping) in self.core.updater.pings(now) {
            if let Some(running) = self.core.running.get(&id) {
                running.say(&say::ping(ping));
            }
        }
        self.health.begin_tick(&mut self.core);
        if let Some(policy) = &self.policy {
            self.core.updater.set_policy(policy.get());
        }
        self.core.updater.steering_mut().tend_clients(now);
        if self.core.updater.is_due(now) {
            self.core.reconcile(now);
        }
        self.core.updater.update(now);
        self.waiting.tick(&mut self.core, now);
        self.health.tick(&mut self.core, now);
        self.processes.retry_reaping(&self.core);
        self.reports.sample_headroom(&self.core, self.waiting.lines.as_ref().map_or(0, Lines::concurrency), now);
        self.reports.service.tick(now);
    }

    pub(super) fn stop(&mut self, now: Instant) {
        self.waiting.close(&mut self.core, now);
        self.core.supervisor.stop(now);
    }

    fn on_signal(&mut self, action: SignalAction, now: Instant) {
        let workers = self.core.supervisor.slot_count();
        let command = match action {
            SignalAction::Stop => Command::Stop,
            SignalAction::Reload => Command::Reload(Style::AtOnce),
            SignalAction::More => Command::Scale { workers: workers.saturating_add(1) },
            SignalAction::Fewer => Command::Scale { workers: workers.saturating_sub(1) },
            SignalAction::PassOn => return pass_on(&self.core, Signal::SIGUSR1),
            SignalAction::Reap => return self.processes.reap_orphans(&self.core),
        };
        if let Err(refusal) = self.command(command, now) {
            tracing::warn!("what a signal asks for is refused: {refusal}");
        }
    }

    pub(super) fn command(&mut self, command: Command, now: Instant) -> Result<Granted, Refusal> {
        if matches!(command, Command::Stop) {
            self.waiting.close(&mut self.core, now);
        }
        if matches!(command, Command::Try(..)) && !self.core.updater.steering().keeps_books() {
            return Err(Refusal::NoBooks);
        }
        self.core.supervisor.command(command, now)
    }
}

async fn serve_metrics(listener: Listener, scrapes: bool, answers: impl AsyncFn(Question) -> Answer + Clone + 'static) {
    let error = serve(listener, scrapes, answers).await;
    tracing::error!(%error, "cannot serve metrics");
}

async fn next_signal(signals: &mut Option<Signals>) -> SignalAction {
    match signals {
        Some(signals) => signals.next().await,
        None => std::future::pending().await,
    }
}

async fn next(events: &mut Option<Events>) -> std::io::Result<Vec<Event>> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}
