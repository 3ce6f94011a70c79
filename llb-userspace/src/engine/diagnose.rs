//! Why a worker did not become ready, as far as can be told from outside.

use super::{Engine, worker::Epitaph};
use crate::{
    fleet::{State, Worker, WorkerCgroup},
    sys::procfs,
};

/// Processes that are described of a worker that does not become ready: the command, and its children.
const DESCRIBED: usize = 3;

/// A port, and the process that holds it against a worker.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub port: u16,
    pub holder: procfs::Process,
}

/// The port that a worker may not have got, and so has exited.
pub(super) fn wanted_port(worker: &Worker) -> Option<u16> {
    let is_starting = matches!(worker.state, State::Starting { .. });
    worker.bound.filter(|_| is_starting && worker.listeners.is_empty()).map(|address| address.0.port())
}

/// Why a worker has exited before it was ready; none if llb cannot tell. `held` is whether its port was held.
pub(super) fn exit(worker: &Worker, epitaph: &Epitaph, held: Option<&Held>, engine: &Engine) -> Option<String> {
    if !matches!(worker.state, State::Starting { .. }) {
        return None;
    }
    if let Some(Held { port, holder }) = held {
        return Some(held_by(*port, worker, holder, engine));
    }
    epitaph.status.is_some_and(|status| status.success()).then(|| {
        let left = engine.running.get(&worker.id).and_then(|running| running.cgroup.processes().ok());
        match left.unwrap_or_default().first() {
            Some(daemon) => {
                let daemon = procfs::Process::of(*daemon);
                format!(
                    "it goes to the background, as {daemon}; run it in the foreground: {}",
                    foreground(&daemon.name)
                )
            }
            None => "llb's workers run in the foreground; if this one goes to the background by itself, tell it not to"
                .into(),
        }
    })
}

/// How a program that goes to the background is told not to.
fn foreground(name: &str) -> &'static str {
    const FLAGS: [(&str, &str); 9] = [
        ("nginx", "nginx -g 'daemon off;'"),
        ("redis-server", "redis-server --daemonize no"),
        ("valkey-server", "valkey-server --daemonize no"),
        ("lighttpd", "lighttpd -D"),
        ("haproxy", "haproxy -W or -db, and not -D"),
        ("php-fpm", "php-fpm -F"),
        ("apache2", "apache2 -DFOREGROUND"),
        ("httpd", "httpd -DFOREGROUND"),
        ("gunicorn", "gunicorn without --daemon"),
    ];
    let of_name = FLAGS.iter().find(|(program, _)| name.starts_with(program));
    of_name.map_or("many programs have --foreground or --no-daemon for that", |(_, flag)| flag)
}

fn held_by(port: u16, worker: &Worker, holder: &procfs::Process, engine: &Engine) -> String {
    let ours =
        |running: &super::Running| running.cgroup.processes().is_ok_and(|processes| processes.contains(&holder.pid));
    match engine.lives.workers().find(|other| engine.running.get(&other.id).is_some_and(ours)) {
        Some(other) if other.id != worker.id => format!(
            "port {port} is held by {holder} of worker {}, and the kernel lets only sockets of one user share a port; \
             run all workers as the same user",
            other.slot
        ),
        _ => format!(
            "port {port} is held by {holder}, which llb did not start; stop it, or have the workers listen elsewhere"
        ),
    }
}

/// What a worker does instead of becoming ready.
pub(super) fn doing(cgroup: &WorkerCgroup) -> String {
    let processes = cgroup.processes().unwrap_or_default();
    let described: Vec<String> = processes.iter().take(DESCRIBED).map(|pid| procfs::describe(*pid)).collect();
    if described.is_empty() { "it has no process left".into() } else { described.join("; ") }
}
