//! A balancer that steps itself, and its members.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::Duration,
};

use super::{ActiveWorker, Balancer, BalancerError, BalancerStatus, Settings};
use crate::{sys::clock::now, updater::UPDATE_EVERY};

/// A [`Balancer`] with a thread that updates it. Clones are the same balancer; it ends with the last of them and of their
/// members, and the kernel's hash takes over.
///
/// ```no_run
/// use std::{net::TcpListener, time::{Duration, Instant}};
/// use llb::balancer::{BalancerHandle, Member, Settings};
///
/// # fn shared() -> std::io::Result<TcpListener> { unimplemented!() }
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let balancer = BalancerHandle::spawn(Settings::default())?;
/// for slot in 0..4 {
///     let balancer = balancer.clone();
///     std::thread::spawn(move || -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
///         let listener = shared()?; // With SO_REUSEPORT set before bind.
///         let member: Member = balancer.join(slot, &listener)?;
///         for stream in listener.incoming() {
///             let begun = Instant::now();
///             drop(stream?); // Serve it.
///             member.report(begun.elapsed());
///         }
///         Ok(()) // The member is dropped: the slot is left.
///     });
/// }
/// println!("{} connections so far", balancer.status()?.connections);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct BalancerHandle(Arc<Mutex<Balancer>>);

impl BalancerHandle {
    /// Loads the programs, as [`Balancer::load`] does, and starts the thread.
    ///
    /// # Errors
    /// As [`Balancer::load`]; [`BalancerError::Thread`] if the system gives no thread.
    pub fn spawn(settings: Settings) -> Result<Self, BalancerError> {
        let handle = BalancerHandle(Arc::new(Mutex::new(Balancer::load(settings)?)));
        let balancer = Arc::downgrade(&handle.0);
        let started = thread::Builder::new().name("llb balancer".into()).spawn(move || step(&balancer));
        started.map_err(|source| BalancerError::Thread { source })?;
        Ok(handle)
    }

    /// Has the kernel choose the worker's listeners from now on, as those of `slot`, until the member is dropped. The sockets
    /// stay the caller's.
    ///
    /// # Errors
    /// [`BalancerError::Taken`] if the slot has a member; as [`Balancer::join`]. Nothing has changed then.
    pub fn join(&self, slot: u32, worker: &impl ActiveWorker) -> Result<Member, BalancerError> {
        let mut balancer = lock(&self.0);
        if balancer.workers.contains_key(&slot) {
            return Err(BalancerError::Taken { slot });
        }
        for listener in worker.listeners() {
            if let Err(error) = balancer.join(slot, listener) {
                balancer.leave(slot, now())?;
                return Err(error);
            }
        }
        drop(balancer);
        Ok(Member { slot, balancer: self.0.clone() })
    }

    /// What it has counted so far.
    ///
    /// # Errors
    /// As [`Balancer::status`].
    pub fn status(&self) -> Result<BalancerStatus, BalancerError> {
        lock(&self.0).status()
    }
}

/// A worker whose listeners the kernel chooses. Dropping it leaves the slot: what waits in its queues stays there until it is
/// accepted, or the listener is closed.
#[must_use = "the slot is left when it is dropped"]
pub struct Member {
    slot: u32,
    balancer: Arc<Mutex<Balancer>>,
}

impl Member {
    /// It took `latency` for a request.
    pub fn report(&self, latency: Duration) {
        lock(&self.balancer).report(self.slot, latency, now());
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Err(error) = lock(&self.balancer).leave(self.slot, now()) {
            tracing::warn!(slot = self.slot, %error, "a worker could not leave");
        }
    }
}

fn step(balancer: &Weak<Mutex<Balancer>>) {
    while let Some(balancer) = balancer.upgrade() {
        lock(&balancer).update(now());
        drop(balancer);
        thread::sleep(UPDATE_EVERY);
    }
}

/// After a panic under the lock the books are as after any other failure: each step is whole by itself.
fn lock(balancer: &Mutex<Balancer>) -> MutexGuard<'_, Balancer> {
    balancer.lock().unwrap_or_else(PoisonError::into_inner)
}
