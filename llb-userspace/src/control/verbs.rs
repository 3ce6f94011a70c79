//! What a fleet can be told, a method each.

use std::time::Duration;

use super::{Client, ControlError, Done, Failed, Reply, Request};

/// How a reload goes about it.
///
/// ```
/// use std::time::Duration;
/// use llb::control::Reload;
///
/// let all_at_once = Reload::default();
/// let two_at_a_time = Reload::rolling(2);
/// let tried_in_one_slot_first = Reload::rolling(1).with_canary(1, Duration::from_secs(30));
/// # let _ = (all_at_once, two_at_a_time, tried_in_one_slot_first);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reload {
    max_surge: Option<u32>,
    canary: Option<(u32, Duration)>,
}

impl Reload {
    /// At most so many new workers at a time, instead of all at once. With 0 an old worker ends before its replacement starts.
    #[must_use]
    pub fn rolling(max_surge: u32) -> Self {
        Reload { max_surge: Some(max_surge), canary: None }
    }

    /// Watches the new code in so many slots for so long first, and goes back if it does clearly worse than the old.
    #[must_use]
    pub fn with_canary(self, slots: u32, watch: Duration) -> Self {
        Reload { canary: Some((slots, watch)), ..self }
    }

    fn request(self) -> Request {
        let ms = |watch: Duration| u64::try_from(watch.as_millis()).unwrap_or(u64::MAX);
        Request::Reload {
            rolling: self.max_surge.is_some(),
            max_surge: self.max_surge,
            canary: self.canary.map(|(slots, _)| slots),
            watch_ms: self.canary.map(|(_, watch)| ms(watch)),
        }
    }
}

impl Client {
    /// Replaces all workers by new ones of the same command, and waits until the new ones serve and the old ones have exited,
    /// however long that takes. Returns the generation that serves.
    ///
    /// # Errors
    /// [`ControlError::Failed`] with [`FailureKind::RolledBack`](super::FailureKind::RolledBack) if the new code has failed and
    /// the old serves on; any other [`ControlError`].
    pub fn reload(&self, how: Reload) -> Result<u32, ControlError> {
        let done = self.tell(how.request())?;
        done.generation.ok_or_else(|| self.not_understood(&done))
    }

    /// Sets the number of slots. Waits until the new workers serve and the old ones have exited.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn scale(&self, workers: u32) -> Result<(), ControlError> {
        self.tell(Request::Scale { workers }).map(drop)
    }

    /// Ends a slot's worker, and starts none in its place. Waits until it has exited.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn drain(&self, slot: u32) -> Result<(), ControlError> {
        self.tell(Request::Drain { slot }).map(drop)
    }

    /// Replaces a slot's worker, or starts one where there is none. Waits until it serves, and returns its process id.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn restart(&self, slot: u32) -> Result<u32, ControlError> {
        let done = self.tell(Request::Restart { slot })?;
        done.pid.ok_or_else(|| self.not_understood(&done))
    }

    /// Ends the fleet, and waits until nothing of it is left.
    ///
    /// # Errors
    /// [`ControlError`]; [`ControlError::Ended`] if its master has died before it was done.
    pub fn stop(&self) -> Result<(), ControlError> {
        self.done(self.end()?).map(drop)
    }

    fn tell(&self, request: Request) -> Result<Done, ControlError> {
        self.done(self.command(request)?)
    }

    fn done(&self, reply: Reply) -> Result<Done, ControlError> {
        match reply {
            Reply::Done(done) => Ok(done),
            Reply::Failed(Failed { error, failure: Some(failure) }) => {
                Err(ControlError::Failed { name: self.name.clone(), failure, error })
            }
            Reply::Failed(Failed { error, failure: None }) => {
                Err(ControlError::NotUnderstood { name: self.name.clone(), says: error })
            }
        }
    }

    fn not_understood(&self, done: &Done) -> ControlError {
        ControlError::NotUnderstood { name: self.name.clone(), says: format!("{done:?}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_asks_for_what_it_says() {
        let line = |how: Reload| serde_json::to_string(&how.request()).unwrap();
        assert_eq!(
            line(Reload::default()),
            r#"{"cmd":"reload","rolling":false,"max_surge":null,"canary":null,"watch_ms":null}"#
        );
        assert_eq!(
            line(Reload::rolling(0).with_canary(2, Duration::from_secs(3))),
            r#"{"cmd":"reload","rolling":true,"max_surge":0,"canary":2,"watch_ms":3000}"#
        );
    }
}
