//! A balancer as a task of a tokio runtime.

use std::convert::Infallible;

use tokio::time::{MissedTickBehavior, interval};

use super::{ActiveWorker, Balancer, BalancerError};
use crate::sys::clock::now;

impl Balancer {
    /// Steps the balancer until the task is dropped. `active_workers` gives the slots before each update: workers may appear and
    /// vanish between two calls. What cannot be done is passed to `failed`, and tried again.
    ///
    /// ```no_run
    /// # use llb::balancer::{Balancer, Settings};
    /// # use std::net::TcpListener;
    /// # fn slots() -> Vec<Option<TcpListener>> { vec![] }
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let balancer = Balancer::load(Settings::default())?;
    /// let reports = balancer.reports();
    /// let task = tokio::spawn(balancer.run(slots, |error| eprintln!("{error}")));
    /// reports.report(0, std::time::Duration::from_millis(3));
    /// # drop(task); Ok(())
    /// # }
    /// ```
    pub async fn run<W: ActiveWorker>(
        mut self,
        mut active_workers: impl FnMut() -> Vec<Option<W>>,
        mut failed: impl FnMut(BalancerError),
    ) -> Infallible {
        let mut tick = interval(self.update_every());
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tick.tick().await;
            if let Err(error) = self.set_active(&active_workers(), now()) {
                failed(error);
            }
            self.update(now());
        }
    }
}
