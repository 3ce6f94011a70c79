//! The tasks of those that ask, at the control socket and where metrics are served: each asks the loop by message.

mod answers;
mod ask;
mod choices;
mod completion;
mod connect;
mod probes;
mod queues;
mod scrape;

pub(super) use self::{
    answers::{Begun, answers, lookers},
    choices::{Asking, Seating},
    connect::{Reacher, Target},
    probes::answers as probe_answers,
    queues::Queues,
    scrape::Scraper,
};
