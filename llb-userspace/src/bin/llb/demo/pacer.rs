//! Waits for the moments at which requests are due, to about 0.1 ms. The runtime's own timer counts whole milliseconds,
//! too coarse for requests of five: every latency would carry up to one that no worker caused. So a thread sleeps.

use std::{io, thread, time::Duration};

use tokio::{
    sync::mpsc::{self, UnboundedReceiver},
    time::Instant,
};

use super::arrivals::Arrival;

/// Hands out each of `arrivals` once it is due, counted from `start`, and ends after the last. The thread behind it ends
/// with them, or at the next one after the receiver has been dropped.
///
/// # Errors
/// If the kernel grants no thread.
pub(super) fn pace(start: Instant, arrivals: Vec<Arrival>) -> io::Result<UnboundedReceiver<Arrival>> {
    let (due, receiver) = mpsc::unbounded_channel();
    thread::Builder::new().name("pacer".to_owned()).spawn(move || {
        for arrival in arrivals {
            let moment = start + Duration::from_nanos(arrival.due_ns);
            thread::sleep(moment.saturating_duration_since(Instant::now()));
            if due.send(arrival).is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::arrivals::Work;

    #[tokio::test]
    async fn each_comes_in_order_and_never_early() {
        let arrivals =
            [300_000, 700_000, 700_000, 2_500_000].map(|due_ns| Arrival { due_ns, work: Work::Short }).to_vec();
        let start = Instant::now();
        let mut due = pace(start, arrivals.clone()).unwrap();
        for expected in arrivals {
            assert_eq!(due.recv().await, Some(expected));
            assert!(start.elapsed() >= Duration::from_nanos(expected.due_ns));
        }
        assert_eq!(due.recv().await, None);
    }
}
