//! A running worker as the engine holds it.

mod channel;
mod exit;
mod output;

use std::{
    cell::{Cell, RefCell},
    io,
    os::unix::net::UnixStream,
    process::ExitStatus,
    rc::Rc,
    time::Duration,
};

use nix::{
    sys::{
        signal::Signal,
        wait::{WaitPidFlag, waitpid},
    },
    unistd::Pid,
};
use tokio::{sync::mpsc::Sender, task::JoinSet, time::sleep};

use super::{
    super::{error::describe, inbox::Message},
    marks::{Drain, End, ReadyCheck},
};
use crate::{
    fleet::{WorkerCgroup, spawn::Starting, takeover::Survivor},
    model::WorkerId,
    report::ReportCounts,
    sys::{procfs, readable::Readable},
};

/// Looks whether a killed process is gone, and how often. It is gone within milliseconds, unless it hangs in the kernel; the fleet's
/// end tries again.
const LOOK_EVERY: Duration = Duration::from_millis(5);
const GONE_LOOKS: u32 = 400;

/// A running worker.
pub(in crate::engine) struct Running {
    pub pid: Pid,
    /// Whether its program runs. Until then it is a copy of llb.
    pub runs: Rc<Cell<bool>>,
    pub cgroup: WorkerCgroup,
    pub counts: Rc<RefCell<ReportCounts>>,
    pub drain: Drain,
    /// What it sees as `LLB_WORKER`: no other that lives has it.
    pub number: Option<u32>,
    /// Connections that waited for it and were given to others.
    pub rescued: u64,
    /// See [`procfs::started_at`].
    pub pid_started_at: u64,
    /// What it answers when it is asked whether it is ready.
    pub ready_check: ReadyCheck,
    /// The memory that it had when that was last measured, bytes.
    pub memory: Option<u64>,
    pub end: End,
    /// None to one that another master has spawned: its channel has died with that.
    say: Option<UnixStream>,
    /// Dropped with the worker, and so ended.
    pub tasks: JoinSet<()>,
}

/// The ways to and from a worker.
struct Listening {
    runs: Rc<Cell<bool>>,
    say: UnixStream,
    counts: Rc<RefCell<ReportCounts>>,
    pid_started_at: u64,
    end: End,
    tasks: JoinSet<()>,
}

/// How a worker ended.
#[derive(Debug)]
pub(in crate::engine) struct ExitRecord {
    pub id: WorkerId,
    pub pid: Pid,
    /// Of a child only.
    pub status: Option<ExitStatus>,
    pub ran_out_of_memory: bool,
    pub tail: Vec<String>,
    /// What llb makes of it, if it was not ready.
    pub reason: Option<String>,
}

impl ExitRecord {
    /// How it ended, as a clause about the worker.
    pub(in crate::engine) fn how(&self) -> String {
        let how = describe(self.status);
        let why =
            if self.ran_out_of_memory { ", after the kernel had found no memory for it within its limit" } else { "" };
        how + why
    }
}

impl Running {
    /// Listens to a worker that starts. One that cannot be listened to is ended.
    pub(in crate::engine) fn new(
        id: WorkerId,
        number: u32,
        starting: Starting,
        cgroup: WorkerCgroup,
        inbox: &Sender<Message>,
    ) -> io::Result<Self> {
        let pid = starting.worker.pid;
        match Self::listen(id, starting, inbox) {
            Ok(Listening { runs, say, counts, pid_started_at, end, tasks }) => Ok(Running {
                pid,
                runs,
                cgroup,
                counts,
                drain: Drain::default(),
                number: Some(number),
                pid_started_at,
                ready_check: ReadyCheck::default(),
                memory: None,
                end,
                rescued: 0,
                say: Some(say),
                tasks,
            }),
            Err(error) => {
                if let Err(error) = cgroup.clear() {
                    tracing::error!(%pid, %error, "cannot end a worker that cannot be listened to");
                }
                // It is our child, and nobody else waits for it.
                let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
                Err(error)
            }
        }
    }

    fn listen(id: WorkerId, starting: Starting, inbox: &Sender<Message>) -> io::Result<Listening> {
        let Starting { worker: spawned, outcome } = starting;
        let counts = Rc::new(RefCell::new(ReportCounts::default()));
        let say = spawned.channel.try_clone()?;
        let listen =
            channel::listen(id, tokio::net::UnixStream::from_std(spawned.channel)?, counts.clone(), inbox.clone());
        // Nobody has waited for it yet, so it is there.
        let pid_started_at = procfs::started_at(spawned.pid)?;
        let end = End::of(spawned.pidfd.clone());
        let (pidfd, outcome) = (Readable::new(spawned.pidfd)?, Readable::new(outcome)?);
        let runs: Rc<Cell<bool>> = Rc::default();
        let tail = output::Tail::default();
        let mut outputs = Vec::new();
        if let Some(output) = spawned.output {
            let (out, err) = (tokio::process::ChildStdout::from_std(output.stdout)?, output.stderr);
            let err = tokio::process::ChildStderr::from_std(err)?;
            outputs.push(tokio::task::spawn_local(output::relay(out, tokio::io::stdout(), tail.clone())));
            outputs.push(tokio::task::spawn_local(output::relay(err, tokio::io::stderr(), tail.clone())));
        }
        let mut tasks = JoinSet::new();
        tasks.spawn_local(listen);
        let ended = exit::wait(id, spawned.pid, pidfd, outputs, tail, inbox.clone());
        let (pid, its_inbox, its_runs) = (spawned.pid, inbox.clone(), runs.clone());
        tasks.spawn_local(async move {
            match exit::failure_to_start(pid, outcome).await {
                Some(error) => {
                    // A closed inbox is the end of the engine.
                    let _ = its_inbox.send(Message::NotStarted { id, error }).await;
                }
                None => {
                    its_runs.set(true);
                    ended.await;
                }
            }
        });
        Ok(Listening { runs, say, counts, pid_started_at, end, tasks })
    }

    /// Watches a worker that another master has spawned.
    pub(in crate::engine) fn adopt(id: WorkerId, survivor: Survivor, inbox: &Sender<Message>) -> io::Result<Self> {
        let Survivor { record, cgroup, pidfd } = survivor;
        let end = End::of(pidfd.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn_local(exit::wait_for_other(id, Readable::new(pidfd)?, inbox.clone()));
        Ok(Running {
            pid: Pid::from_raw(record.pid),
            runs: Rc::new(Cell::new(true)),
            cgroup,
            counts: Rc::default(),
            drain: Drain::default(),
            number: record.number,
            pid_started_at: record.pid_started_at,
            ready_check: ReadyCheck::default(),
            memory: None,
            end,
            rescued: 0,
            say: None,
            tasks,
        })
    }

    /// Writes a line to the worker. One that does not read its channel misses it.
    pub(in crate::engine) fn say(&self, line: &[u8]) {
        if let Some(mut say) = self.say.as_ref() {
            // The channel does not block; a full or closed one is the worker's own choice. MSG_NOSIGNAL is std's default.
            let _ = io::Write::write(&mut say, line);
        }
    }
}

/// Kills what the worker's first process has left behind, and removes its cgroup.
pub(in crate::engine) async fn reap(running: Running) {
    let Running { cgroup, end, .. } = running;
    if let Err(error) = cgroup.kill() {
        tracing::error!(%error, "cannot kill what a worker has left behind");
    }
    end.signal_outside(Signal::SIGKILL);
    for _ in 0..GONE_LOOKS {
        if !cgroup.is_populated().unwrap_or(false) {
            break;
        }
        sleep(LOOK_EVERY).await;
    }
    if let Err(error) = cgroup.remove() {
        tracing::error!(%error, "cannot remove a worker's cgroup");
    }
}
