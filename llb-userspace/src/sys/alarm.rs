//! A timer that an event loop sets anew at each of its turns.
//!
//! One of tokio's own does the same by a round of the loop more: where it is the next to go off, setting it wakes the loop that has
//! just set it, to look at its timers again.

use std::{io, time::Duration};

use nix::sys::{
    time::TimeSpec,
    timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
};

use super::readable::Readable;

/// Goes off once each time that it is set.
#[derive(Debug)]
pub struct Alarm(Readable<TimerFd>);

impl Alarm {
    /// One that has never been set.
    ///
    /// # Errors
    /// `EMFILE` and the like.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        Readable::new(TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?).map(Alarm)
    }

    /// Has it go off after this time, and not before, whatever was said earlier.
    ///
    /// # Errors
    /// None that timerfd_settime(2) has for a timer and a time that are valid.
    pub fn set(&self, after: Duration) -> io::Result<()> {
        // Nothing would be never.
        let after = TimeSpec::from(after.max(Duration::from_nanos(1)));
        Ok(self.0.get_ref().set(Expiration::OneShot(after), TimerSetTimeFlags::empty())?)
    }

    /// Waits until it has gone off.
    ///
    /// # Errors
    /// The runtime's.
    pub async fn rings(&mut self) -> io::Result<()> {
        self.0.readable(|_| ()).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::Alarm;
    use crate::sys::clock::now;

    const SOON: Duration = Duration::from_millis(5);
    const LATER: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn an_alarm_rings_once_each_time_it_is_set() {
        let mut alarm = Alarm::new().unwrap();
        for _ in 0..3 {
            let begun = now();
            alarm.set(SOON).unwrap();
            timeout(LATER, alarm.rings()).await.unwrap().unwrap();
            assert!(now() >= begun.after(SOON));
            assert!(timeout(2 * SOON, alarm.rings()).await.is_err(), "it was not set again");
        }
    }

    #[tokio::test]
    async fn what_is_said_last_counts() {
        let mut alarm = Alarm::new().unwrap();
        alarm.set(SOON).unwrap();
        alarm.set(LATER).unwrap();
        assert!(timeout(4 * SOON, alarm.rings()).await.is_err());
        alarm.set(Duration::ZERO).unwrap();
        timeout(LATER, alarm.rings()).await.unwrap().unwrap();
    }
}
