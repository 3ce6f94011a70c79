//! Asks every worker for its own metrics (`--scrape`), each through its own listener. However many of them hang, the answer comes
//! in time, and a scrape holds up nothing else.

use std::{cell::RefCell, collections::BTreeSet, io, rc::Rc, time::Duration};

use tokio::{
    sync::{Semaphore, mpsc::Sender},
    task::JoinSet,
    time::timeout,
};

use super::{
    ask::ask,
    connect::{Reached, Reacher},
};
use crate::{
    config::Scrape,
    engine::inbox::Message,
    get::get,
    metrics::{Answer, Failures, Scraped, answer},
    model::{Instant, Slot},
    sys::clock::now,
};

/// How long a worker may take.
const WORKER_WITHIN: Duration = Duration::from_secs(3);

/// How long all of them may take: Prometheus gives up after ten seconds. A worker that has not been asked by then is left out.
const ALL_WITHIN: Duration = Duration::from_secs(8);

/// Workers that are asked at once.
const AT_ONCE: usize = 16;

/// What a worker may say, bytes: that of a big application is below a megabyte.
const MOST: usize = 4 << 20;

/// What llb reads; what a worker says to it is up to the worker.
const ACCEPT: &str = "text/plain;version=0.0.4, application/openmetrics-text;version=1.0.0;q=0.5, */*;q=0.1";

/// Asks workers for their metrics.
#[derive(Clone)]
pub(in crate::engine) struct Scraper {
    inbox: Sender<Message>,
    reacher: Reacher,
    scrape: Scrape,
    failures: Rc<RefCell<Failures>>,
}

impl Scraper {
    pub(in crate::engine) fn new(inbox: Sender<Message>, reacher: Reacher, scrape: Scrape) -> Self {
        Scraper { inbox, reacher, scrape, failures: Rc::default() }
    }

    /// What all workers say.
    pub(in crate::engine) async fn scrape(&self) -> Answer {
        let deadline = now().after(ALL_WITHIN);
        let status = timeout(WORKER_WITHIN, ask(&self.inbox, |reply| Message::Ask { reply })).await;
        let Ok(Ok((status, _))) = status else { return Answer::line(false, "llb does not answer") };
        // One that starts has nothing to say yet.
        let workers = status.workers.iter().filter(|worker| worker.state != "starting");
        let slots: BTreeSet<u32> = workers.map(|worker| worker.slot).collect();
        let places = Rc::new(Semaphore::new(AT_ONCE));
        let mut asked = JoinSet::new();
        for slot in slots {
            let (scraper, places) = (self.clone(), places.clone());
            asked.spawn_local(async move {
                let _place = places.acquire().await;
                scraper.scrape_one(slot, deadline).await
            });
        }
        let mut all = asked.join_all().await;
        all.sort_by_key(|scraped| scraped.slot);
        answer(all, &mut self.failures.borrow_mut())
    }

    async fn scrape_one(&self, slot: u32, deadline: Instant) -> Scraped {
        let began = now();
        let within = WORKER_WITHIN.min(Duration::from_nanos(deadline.since(began)));
        let said = timeout(within, self.ask_one(slot)).await;
        let said = said.unwrap_or_else(|_| Err(format!("no answer within {within:?}")));
        Scraped { slot, took: Duration::from_nanos(now().since(began)), said }
    }

    async fn ask_one(&self, slot: u32) -> Result<(String, String), String> {
        let reached = self.reacher.connect(Slot(slot), self.scrape.port).await.map_err(|failed| failed.error)?;
        let Reached { stream, entry: _entry } = reached;
        let mut body = Vec::new();
        let collect = |part: &[u8]| {
            if body.len() + part.len() > MOST {
                return Err(io::Error::other(format!("over {MOST} bytes")));
            }
            body.extend_from_slice(part);
            Ok(())
        };
        let head = get(stream, &self.scrape.path, ACCEPT, collect).await.map_err(|error| error.to_string())?;
        if !head.status.is_success() {
            return Err(format!("it answers {}", head.status));
        }
        String::from_utf8(body).map(|text| (head.content_type, text)).map_err(|error| error.to_string())
    }
}
