//! Watches workers that start, until they accept connections where they listen.

use std::{path::PathBuf, rc::Rc, time::Duration};

use tokio::{
    sync::{Semaphore, mpsc::Sender},
    task::spawn_blocking,
    time::{Instant, sleep},
};

use super::{Engine, messages::Message};
use crate::{
    fleet::acceptance::{Acceptance, Target, look},
    model::WorkerId,
};

/// Between two looks: an eighth of the time that it has listened. So a program is ready soon after it can be, and one
/// that loads its code for a minute is hardly looked at.
const EACH: u32 = 8;
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(500);

/// Where it is not to be seen whether a worker accepts, it is taken to, so long after it listens.
const BENEFIT_OF_DOUBT: Duration = Duration::from_secs(1);

/// Workers that are looked at in one moment: a large fleet starts all at once.
pub(super) const LOOKERS: usize = 2;

impl Engine {
    /// Looks at a listener of a worker until connections are accepted there.
    pub(super) fn watch(&mut self, id: WorkerId, cookie: u64) {
        let (inbox, lookers) = (self.inbox.clone(), self.lookers.clone());
        if let Some(running) = self.running.get_mut(&id) {
            let cgroup = running.cgroup.path().to_owned();
            running.tasks.spawn_local(watch(id, cookie, cgroup, lookers, inbox));
        }
    }
}

async fn watch(id: WorkerId, cookie: u64, cgroup: PathBuf, lookers: Rc<Semaphore>, inbox: Sender<Message>) {
    let since = Instant::now();
    let mut target = Target { cookie, known: None };
    loop {
        let lasts = since.elapsed();
        let seen = {
            let _looker = lookers.acquire().await;
            let cgroup = cgroup.clone();
            spawn_blocking(move || (look(&cgroup, &mut target, lasts), target)).await
        };
        // Only a runtime that ends gives no answer.
        let Ok((seen, found)) = seen else { return };
        target = found;
        match seen {
            Acceptance::Yes => break,
            Acceptance::Unknown if lasts >= BENEFIT_OF_DOUBT => {
                tracing::debug!(worker = %id, cookie, "cannot see whether it accepts connections; takes it that it does");
                break;
            }
            Acceptance::Unknown | Acceptance::No => {}
        }
        sleep((lasts / EACH).clamp(SHORTEST, LONGEST)).await;
    }
    // A closed inbox is the end of the engine.
    let _ = inbox.send(Message::Accepts { id, cookie }).await;
}
