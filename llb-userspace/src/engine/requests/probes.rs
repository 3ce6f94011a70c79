//! Answers who scrapes and who probes, by the same status that the control socket shows.

use std::time::Duration;

use tokio::{sync::mpsc::Sender, time::timeout};

use super::{
    answers::{Lookers, whole_status},
    scrape::Scraper,
};
use crate::{
    engine::inbox::Message,
    metrics::{Answer, Question, encode, families},
    observe::status::Status,
};

/// How long the engine may take to answer; a prober does not wait for longer either.
const STATUS_WITHIN: Duration = Duration::from_secs(5);

/// What is answered where metrics are served.
pub(in crate::engine) fn answers(
    inbox: Sender<Message>,
    lookers: Lookers,
    scraper: Option<Scraper>,
) -> impl AsyncFn(Question) -> Answer + Clone + 'static {
    async move |question: Question| {
        if let (Question::Workers, Some(scraper)) = (question, &scraper) {
            return scraper.scrape().await;
        }
        let status = timeout(STATUS_WITHIN, whole_status(&inbox, &lookers)).await;
        match status.ok().and_then(Result::ok) {
            Some(status) => answer(question, status),
            None => Answer::line(false, "llb does not answer"),
        }
    }
}

fn answer(question: Question, status: Status) -> Answer {
    match question {
        Question::Live => Answer::line(true, "llb runs"),
        Question::Workers => Answer::line(false, "workers are asked with --scrape only"),
        Question::Ready => {
            let serving = status.workers.iter().filter(|worker| worker.state == "serving").count();
            let slots = status.slots.len();
            let line = format!("{serving} of {slots} workers serve");
            Answer::line(status.up && serving > 0, &line)
        }
        Question::Metrics(format) => {
            let body = encode(families(&[status]), format);
            Answer { ok: true, content_type: format.content_type(), body }
        }
    }
}
