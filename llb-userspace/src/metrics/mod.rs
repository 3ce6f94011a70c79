//! The metrics of fleets, as Prometheus and its like scrape them.
//!
//! `families` makes them of the [status](crate::observe::status::Status), `encode` writes them, `listen` opens the socket that
//! they are served on, and `server` answers there. `workers` joins what workers say of themselves.

mod encode;
mod families;
mod latency;
mod listen;
mod server;
mod workers;

pub(crate) use encode::{Format, encode};
pub(crate) use families::families;
pub(crate) use listen::Listener;
pub(crate) use listen::MetricsError;
pub(crate) use server::{Answer, Question, serve};
pub(crate) use workers::{Failures, Scraped, answer};
