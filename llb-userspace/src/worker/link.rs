//! The one link of a process to llb: its channel, with what is to be sent over it and the callbacks for what llb sends.

use std::{
    fmt,
    os::unix::net::UnixStream,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    batch::{Batch, Summary},
    channel::{self, Command},
    disconnect::Disconnect,
};

/// There is one in a process, and it lasts as long.
#[derive(Debug)]
pub(super) struct Link {
    pub channel: UnixStream,
    /// What the clock is read against.
    begun: Instant,
    pub batch: Batch,
    pub disconnect: Disconnect,
    pings: Mutex<Option<PassOn>>,
}

/// Answers pings in place of the thread that reads them; returns whether it does.
struct PassOn(Box<dyn Fn(u64) -> bool + Send>);

impl Link {
    pub(super) fn over(channel: UnixStream) -> Self {
        Link {
            channel,
            begun: now(),
            batch: Batch::default(),
            disconnect: Disconnect::default(),
            pings: Mutex::new(None),
        }
    }

    pub(super) fn pass_pings_on(&self, pass_on: impl Fn(u64) -> bool + Send + 'static) {
        *self.pings.lock().unwrap_or_else(PoisonError::into_inner) = Some(PassOn(Box::new(pass_on)));
    }

    pub(super) fn on_command(&self, command: Command) {
        match command {
            Command::Ping { id } => {
                let pings = self.pings.lock().unwrap_or_else(PoisonError::into_inner);
                if !pings.as_ref().is_some_and(|PassOn(pass_on)| pass_on(id)) {
                    self.pong(&format!("{{\"cmd\":\"pong\",\"id\":{id}}}\n"));
                }
            }
            Command::Disconnect => self.disconnect.request(),
        }
    }

    #[inline]
    pub(super) fn latency(&self, now: Instant, latency: Duration) {
        let latency_ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        if let Some(summary) = self.batch.add(self.ns(now), latency_ns) {
            self.report(&summary);
        }
    }

    /// Answers a ping; what there is to say of requests goes with it, so that llb wakes up once for both.
    pub(super) fn pong(&self, pong: &str) {
        let mut lines = self.batch.rest(self.ns(now())).as_ref().map(text).unwrap_or_default();
        lines += pong;
        // llb pings again if it misses the answer.
        let _ = channel::say(&self.channel, lines.as_bytes());
    }

    #[cold]
    fn report(&self, summary: &Summary) {
        // Dropped when llb does not read; there will be others.
        let _ = channel::say(&self.channel, text(summary).as_bytes());
    }

    fn ns(&self, now: Instant) -> u64 {
        u64::try_from(now.duration_since(self.begun).as_nanos()).unwrap_or(u64::MAX)
    }
}

fn text(Summary { median_ns, requests }: &Summary) -> String {
    format!("{{\"cmd\":\"latency\",\"us\":{},\"n\":{requests}}}\n", *median_ns as f64 / 1e3)
}

impl fmt::Debug for PassOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PassOn")
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a worker's requests take is what it reports; llb decides by it"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}
