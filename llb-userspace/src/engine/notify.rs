//! Listens to what workers say by sd_notify(3).

use std::{convert::Infallible, future::pending, time::Duration};

use tokio::{
    sync::mpsc::Sender,
    task::yield_now,
    time::{MissedTickBehavior, interval},
};

use super::messages::Message;
use crate::fleet::notify::{NotifySocket, Said};

/// How often messages are read on, and how many at the most: two thousand a second, for a fleet of 256 that all become
/// ready at once. Who floods the socket waits, and the others that write to it; nothing else of llb does.
const EVERY: Duration = Duration::from_millis(100);
const AT_MOST: u32 = 200;

/// Read at once; the engine's other turns come in between.
const BATCH: u32 = 20;

/// Passes on what counts, for as long as the engine runs.
pub(super) async fn listen(socket: &NotifySocket, inbox: Sender<Message>) -> Infallible {
    let mut renewal = interval(EVERY);
    renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        renewal.tick().await;
        for count in 1..=AT_MOST {
            match socket.next().await {
                Ok(Said::Other) => {}
                // A closed inbox is the end of the engine.
                Ok(Said::Ready { pid, cgroup }) => drop(inbox.send(Message::SaidReady { pid, cgroup }).await),
                Err(error) => {
                    tracing::error!(%error, "cannot listen to what workers say by NOTIFY_SOCKET any more");
                    pending::<()>().await;
                }
            }
            if count % BATCH == 0 {
                yield_now().await;
            }
        }
    }
}
