//! Listens to what workers say by sd_notify(3).

use std::{convert::Infallible, ffi::OsStr, future::pending, io, path::Path, time::Duration};

use nix::unistd::{Pid, geteuid};
use tokio::{
    sync::mpsc::Sender,
    task::yield_now,
    time::{MissedTickBehavior, interval},
};

use super::Processes;
use crate::{
    config::Config,
    engine::{
        core::{Core, Running},
        inbox::Message,
    },
    fleet::{
        RuntimeDir, Secret,
        notify::{Notification, NotifySocket},
    },
    model::Instant,
};

/// How often messages are read on, and how many at the most: two thousand a second, for a fleet of 256 that all become
/// ready at once. Who floods the socket waits, and the others that write to it; nothing else of llb does.
const EVERY: Duration = Duration::from_millis(100);
const AT_MOST: u32 = 200;

/// Read at once; the engine's other turns come in between.
const BATCH: u32 = 20;

/// Opens the socket.
pub(in crate::engine) fn open(
    config: &Config,
    lock: &RuntimeDir,
    cgroup: &Path,
    secret: Secret,
) -> io::Result<NotifySocket> {
    let others = config.identity.as_ref().is_some_and(|identity| identity.uid != geteuid());
    // Workers may run in another directory.
    NotifySocket::open(&config.name, &std::path::absolute(lock.path())?, others, cgroup, secret)
}

/// Passes on what counts, for as long as the engine runs.
pub(in crate::engine) async fn listen(socket: &NotifySocket, inbox: Sender<Message>) -> Infallible {
    let mut renewal = interval(EVERY);
    renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        renewal.tick().await;
        for count in 1..=AT_MOST {
            match socket.next().await {
                Ok(Notification::Other) => {}
                // A closed inbox is the end of the engine.
                Ok(Notification::Ready { pid, cgroup }) => drop(inbox.send(Message::SaidReady { pid, cgroup }).await),
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

impl Processes {
    /// Said by sd_notify(3): as good as the line `{"cmd":"ready"}`, but nobody is expected to answer pings for it.
    pub(in crate::engine) fn said_ready(&mut self, core: &mut Core, pid: Pid, cgroup: Option<&OsStr>, now: Instant) {
        let lives_there = |running: &Running| cgroup.is_some() && running.cgroup.path().file_name() == cgroup;
        let Some((id, _)) = core.running.iter().find(|(_, running)| lives_there(running)) else {
            if self.unknown_senders == 0 {
                tracing::warn!(%pid, "READY=1 on NOTIFY_SOCKET by a process that is no worker's; counted from now on");
            }
            self.unknown_senders += 1;
            return;
        };
        core.supervisor.says_ready(*id, now);
    }
}

/// What nobody guesses. A kernel that has no randomness yet, in its first second, gives what it has.
pub(in crate::engine) fn random() -> Secret {
    let mut secret = Secret::default();
    // With a guessed name one can only send what llb ignores.
    let _ = rustix::rand::getrandom(&mut secret, rustix::rand::GetRandomFlags::NONBLOCK);
    secret
}
