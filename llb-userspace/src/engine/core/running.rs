//! A running worker as the engine holds it, and the tasks that listen to it.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    os::unix::net::UnixStream,
    process::{Child, ExitStatus},
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
use tokio::{
    io::AsyncReadExt,
    sync::mpsc::Sender,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{
    super::{error::describe, messages::Message},
    marks::{Check, Drain, End},
};
use crate::{
    fleet::{Spawned, WorkerCgroup, takeover::Survivor},
    model::WorkerId,
    report::{Reader, Report, ReportCounts},
    sys::{pidfd::PidFd, procfs, readable::Readable},
};

/// How often a worker's budget of lines is renewed, and how many it has: ten thousand a second. What is more is
/// dropped, as an estimate is no better for it.
const BUDGET_EVERY: Duration = Duration::from_millis(100);
const BUDGET_LINES: u32 = 1_000;

/// Read from a worker's channel at once; other workers' turns come in between.
const CHUNK_BYTES: usize = 16 * 1024;

/// How long a worker may pause in the midst of the word `ready`; after that it has ended without a newline.
const END_OF_WORD: Duration = Duration::from_millis(50);

/// Lines kept of the end of a captured output, and the longest that is kept of one.
const TAIL_LINES: usize = 20;
const TAIL_LINE_BYTES: usize = 400;

/// A worker's children may hold its output open; its exit is not held up for longer than this.
const OUTPUT_PATIENCE: Duration = Duration::from_millis(300);

/// A killed process is gone within milliseconds, unless it hangs in the kernel; the fleet's end tries again.
const LAST_BREATH: Duration = Duration::from_millis(5);
const LAST_BREATHS: u32 = 400;

/// A running worker.
pub(in crate::engine) struct Running {
    pub pid: Pid,
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
    pub check: Check,
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
    /// Listens to a worker that has just been spawned. One that cannot be listened to is ended.
    pub(in crate::engine) fn new(
        id: WorkerId,
        number: u32,
        spawned: Spawned,
        cgroup: WorkerCgroup,
        inbox: &Sender<Message>,
    ) -> io::Result<Self> {
        let pid = spawned.pid;
        match Self::listen(id, spawned, inbox) {
            Ok(Listening { say, counts, pid_started_at, end, tasks }) => Ok(Running {
                pid,
                cgroup,
                counts,
                drain: Drain::default(),
                number: Some(number),
                pid_started_at,
                check: Check::default(),
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

    fn listen(id: WorkerId, spawned: Spawned, inbox: &Sender<Message>) -> io::Result<Listening> {
        let counts = Rc::new(RefCell::new(ReportCounts::default()));
        let say = spawned.channel.try_clone()?;
        let listen = listen(id, tokio::net::UnixStream::from_std(spawned.channel)?, counts.clone(), inbox.clone());
        // Nobody has waited for it yet, so it is there.
        let pid_started_at = procfs::started_at(spawned.pid)?;
        let end = End::of(spawned.pidfd.try_clone()?);
        let pidfd = Readable::new(spawned.pidfd)?;
        let tail = Rc::new(RefCell::new(VecDeque::new()));
        let mut outputs = Vec::new();
        if let Some(output) = spawned.output {
            let (out, err) = (tokio::process::ChildStdout::from_std(output.stdout)?, output.stderr);
            let err = tokio::process::ChildStderr::from_std(err)?;
            outputs.push(tokio::task::spawn_local(relay(out, tokio::io::stdout(), tail.clone())));
            outputs.push(tokio::task::spawn_local(relay(err, tokio::io::stderr(), tail.clone())));
        }
        let mut tasks = JoinSet::new();
        tasks.spawn_local(listen);
        tasks.spawn_local(wait(id, spawned.child, pidfd, outputs, tail, inbox.clone()));
        Ok(Listening { say, counts, pid_started_at, end, tasks })
    }

    /// Watches a worker that another master has spawned.
    pub(in crate::engine) fn adopt(id: WorkerId, survivor: Survivor, inbox: &Sender<Message>) -> io::Result<Self> {
        let Survivor { record, cgroup, pidfd } = survivor;
        let end = End::of(pidfd.try_clone()?);
        let mut tasks = JoinSet::new();
        tasks.spawn_local(wait_for_other(id, Readable::new(pidfd)?, inbox.clone()));
        Ok(Running {
            pid: Pid::from_raw(record.pid),
            cgroup,
            counts: Rc::default(),
            drain: Drain::default(),
            number: record.number,
            pid_started_at: record.pid_started_at,
            check: Check::default(),
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
    for _ in 0..LAST_BREATHS {
        if !cgroup.is_populated().unwrap_or(false) {
            break;
        }
        sleep(LAST_BREATH).await;
    }
    if let Err(error) = cgroup.remove() {
        tracing::error!(%error, "cannot remove a worker's cgroup");
    }
}

/// Reads the report channel until it closes.
async fn listen(
    id: WorkerId,
    mut channel: tokio::net::UnixStream,
    counts: Rc<RefCell<ReportCounts>>,
    inbox: Sender<Message>,
) {
    let mut reader = Reader::new(BUDGET_LINES);
    let mut refilled = Instant::now();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut is_open = true;
    while is_open {
        // The time counts only where a word has begun: a worker that says nothing costs nothing.
        let read = match reader.awaits_end_of_word() {
            true => timeout(END_OF_WORD, channel.read(&mut chunk)).await,
            false => Ok(channel.read(&mut chunk).await),
        };
        // Renewed when something is read, not by a timer, for the same reason.
        if refilled.elapsed() >= BUDGET_EVERY {
            refilled = Instant::now();
            reader.refill(BUDGET_LINES);
        }
        let mut reports: Vec<Report> = Vec::new();
        match read {
            Ok(Ok(read @ 1..)) => reader.feed(&chunk[..read], |report| reports.push(report)),
            Ok(Ok(0) | Err(_)) => {
                is_open = false;
                reader.end_word(|report| reports.push(report));
            }
            Err(_) => reader.end_word(|report| reports.push(report)),
        }
        counts.borrow_mut().clone_from(reader.counts());
        let (faults, messages) = (reader.newly_seen(), reader.messages());
        if (!reports.is_empty() || !faults.is_empty() || !messages.is_empty())
            && inbox.send(Message::Said { id, reports, faults, messages }).await.is_err()
        {
            return;
        }
        tokio::task::yield_now().await;
    }
    // A closed inbox is the end of the engine.
    let _ = inbox.send(Message::HungUp { id }).await;
}

/// Waits for the worker's end.
async fn wait(
    id: WorkerId,
    mut child: Child,
    mut pidfd: Readable<PidFd>,
    outputs: Vec<tokio::task::JoinHandle<()>>,
    tail: Rc<RefCell<VecDeque<String>>>,
    inbox: Sender<Message>,
) {
    if let Err(error) = pidfd.readable(|_| ()).await {
        // It is looked at again and again instead.
        tracing::error!(worker = %id, %error, "cannot wait for a worker");
    }
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            // The descriptor tells once, and may be a moment ahead of wait(2).
            Ok(None) => sleep(LAST_BREATH).await,
            // The program around us ignores SIGCHLD, or waits for each child itself: only that it has ended is known.
            Err(error) => {
                tracing::debug!(worker = %id, %error, "how a worker has ended cannot be told");
                break None;
            }
        }
    };
    for output in outputs {
        // What is still open after that is a child's, and its last words are not the worker's.
        let _ = timeout(OUTPUT_PATIENCE, output).await;
    }
    let tail = tail.borrow().iter().cloned().collect();
    // A closed inbox is the end of the engine.
    let _ = inbox.send(Message::Exited { id, status, tail }).await;
}

/// Waits for the end of a worker that is no child of ours: how it ended only its parent hears.
async fn wait_for_other(id: WorkerId, mut pidfd: Readable<PidFd>, inbox: Sender<Message>) {
    if let Err(error) = pidfd.readable(|_| ()).await {
        // It is ended, as nobody would hear of its end.
        tracing::error!(worker = %id, %error, "cannot wait for a worker");
    }
    // A closed inbox is the end of the engine.
    let _ = inbox.send(Message::Exited { id, status: None, tail: Vec::new() }).await;
}

/// Passes a captured output on, and keeps its end.
async fn relay(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
    tail: Rc<RefCell<VecDeque<String>>>,
) {
    use tokio::io::AsyncWriteExt;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut line = Vec::new();
    while let Ok(read @ 1..) = from.read(&mut chunk).await {
        // Nobody may be reading llb's own output any more; the worker must not notice.
        let _ = to.write_all(&chunk[..read]).await;
        let _ = to.flush().await;
        for byte in &chunk[..read] {
            match byte {
                b'\n' => keep(&mut line, &tail),
                _ if line.len() < TAIL_LINE_BYTES => line.push(*byte),
                _ => {}
            }
        }
    }
    keep(&mut line, &tail);
}

fn keep(line: &mut Vec<u8>, tail: &Rc<RefCell<VecDeque<String>>>) {
    if line.is_empty() {
        return;
    }
    let mut tail = tail.borrow_mut();
    if tail.len() == TAIL_LINES {
        tail.pop_front();
    }
    tail.push_back(String::from_utf8_lossy(line).trim_end().to_owned());
    line.clear();
}
