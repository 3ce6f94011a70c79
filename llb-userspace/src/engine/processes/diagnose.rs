//! Why a worker did not become ready, as far as llb can see from outside.

use std::net::SocketAddr;

use crate::{
    engine::core::{Core, ExitRecord, HeldPort, Running},
    fleet::{Others, State, Worker, WorkerCgroup},
    kernel::{Limit, OwnPorts},
    model::WorkerId,
    sys::{
        endpoint::Endpoint,
        procfs::{self, Process},
    },
};

/// Processes that are described of a worker that does not become ready: the command, and its children.
const DESCRIBED: usize = 3;

/// Ports from here on are most likely a client's, which the kernel has chosen (`net.ipv4.ip_local_port_range`).
const CHOSEN_FROM: u16 = 32_768;

/// The port that a worker may not have got, and so has exited.
pub(in crate::engine) fn wanted_port(worker: &Worker) -> Option<u16> {
    let is_starting = matches!(worker.state, State::Starting { .. });
    worker.bound.filter(|_| is_starting && worker.listeners.is_empty()).map(|address| address.0.port())
}

/// Why a worker has exited before it was ready; none if llb does not know. `held` is the port that another process held, if one was.
pub(in crate::engine) fn exit(
    worker: &Worker,
    record: &ExitRecord,
    held: Option<&HeldPort>,
    others: &Others,
    core: &Core,
) -> Option<String> {
    if !matches!(worker.state, State::Starting { .. }) {
        return None;
    }
    if record.ran_out_of_memory {
        return Some("the kernel had no memory for it within its limit; give it more by --memory-max".into());
    }
    if let Some(other) = wanted_port(worker).and_then(|port| Some((port, others.holder(port)?))) {
        let (own, (port, other)) = (&core.config.name, other);
        return Some(format!(
            "port {port} is fleet {other}'s, and fleet {own} cannot have it as well; stop that one, or have this one \
             listen elsewhere"
        ));
    }
    if let Some(HeldPort { port, holder }) = held {
        return Some(held_by(*port, worker, holder, core));
    }
    let background = record.status.is_some_and(|status| status.success()).then(|| {
        let left = core.running.get(&worker.id).and_then(|running| running.cgroup.processes().ok());
        match left.unwrap_or_default().first() {
            Some(daemon) => {
                let daemon = Process::of(*daemon);
                format!(
                    "it goes to the background, as {daemon}; run it in the foreground: {}",
                    foreground(&daemon.name)
                )
            }
            None => "llb's workers run in the foreground; if this one goes to the background by itself, tell it not to"
                .into(),
        }
    });
    // What only one can have its elder has.
    background.or_else(|| {
        let mut elders = core.supervisor.workers().filter(|other| other.id != worker.id);
        elders.find_map(|other| not_steered(other.id, core).or_else(|| only_one(other, core)))
    })
}

/// The option that keeps a program from going to the background.
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

fn held_by(port: u16, worker: &Worker, holder: &Process, core: &Core) -> String {
    let ours = |running: &Running| running.cgroup.processes().is_ok_and(|processes| processes.contains(&holder.pid));
    match core.supervisor.workers().find(|other| core.running.get(&other.id).is_some_and(ours)) {
        Some(other) if other.id == worker.id => {
            format!("port {port} is held by {holder}, of this very worker: it binds the port twice")
        }
        Some(other) => format!(
            "port {port} is held by {holder} of worker {}, and the kernel lets only sockets of one user share a port; \
             run all workers as the same user",
            other.slot
        ),
        None => format!(
            "port {port} is held by {holder}, which llb did not start; stop it, or have the workers listen elsewhere"
        ),
    }
}

/// Where a worker listens, if that is not steered, and what to do.
pub(in crate::engine) fn not_steered(id: WorkerId, core: &Core) -> Option<String> {
    let (limits, own_ports) = (&core.config.limits, &core.config.own_ports);
    let slot = core.slot(id);
    endpoints(id, core).into_iter().find_map(|(process, endpoint)| match endpoint {
        Endpoint::Tcp(address) => uncovered(address, limits, own_ports)
            .map(|remedy| format!("{process} of worker {slot} listens on {address}, which {remedy}")),
        Endpoint::Udp(_) | Endpoint::Unix(_) => None,
    })
}

/// What a worker has bound that llb does not share at all.
fn only_one(worker: &Worker, core: &Core) -> Option<String> {
    endpoints(worker.id, core).into_iter().find_map(|(process, endpoint)| match endpoint {
        Endpoint::Udp(address) if address.port() < CHOSEN_FROM => Some(format!(
            "udp port {} is held by {process} of worker {}, and is not shared: name it with -p, unless it is each worker's own \
             (--own-port)",
            address.port(),
            worker.slot
        )),
        Endpoint::Tcp(_) | Endpoint::Udp(_) | Endpoint::Unix(_) => None,
    })
}

fn endpoints(id: WorkerId, core: &Core) -> Vec<(Process, Endpoint)> {
    let Some(running) = core.running.get(&id) else { return Vec::new() };
    let processes = running.cgroup.processes().unwrap_or_default();
    let of_process = |pid| {
        let endpoints = procfs::endpoints(pid).unwrap_or_default();
        endpoints.into_iter().map(move |endpoint| (Process::of(pid), endpoint))
    };
    processes.into_iter().take(DESCRIBED).flat_map(of_process).collect()
}

/// Why llb does not share a port; none if it does.
fn uncovered(address: SocketAddr, limits: &[Limit], own_ports: &[OwnPorts]) -> Option<String> {
    let port = address.port();
    if own_ports.iter().any(|own| (own.first..=own.last).contains(&port) && !own.by_slot) {
        return Some(format!("--own-port says is not shared; with --own-port {port}+ each slot has another one"));
    }
    let covers =
        |limit: &Limit| limit.port == port && limit.addr.is_none_or(|addr| addr == address.ip().to_canonical());
    if limits.is_empty() || limits.iter().any(covers) || port >= CHOSEN_FROM {
        return None;
    }
    let given: Vec<String> = limits.iter().map(|limit| format!("-p {limit}")).collect();
    let given = given.join(" ");
    Some(match limits.iter().any(|limit| limit.port == port) {
        true => format!("{given} does not cover: use -p {port}"),
        false => format!(
            "{given} does not name: have it shared as well (-p {port}), or give each worker its own (--own-port {port}+)"
        ),
    })
}

/// What a worker does instead of becoming ready.
pub(in crate::engine) fn doing(cgroup: &WorkerCgroup) -> String {
    let processes = cgroup.processes().unwrap_or_default();
    let described: Vec<String> = processes.iter().take(DESCRIBED).map(|pid| procfs::describe(*pid)).collect();
    if described.is_empty() { "it has no process left".into() } else { described.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_uncovered_port_comes_with_its_remedy() {
        let limit = |text: &str| match text.parse::<SocketAddr>() {
            Ok(address) => Limit { addr: Some(address.ip()), port: address.port() },
            Err(_) => Limit { addr: None, port: text.parse().unwrap() },
        };
        let of = |address: &str, limits: &[&str]| {
            let limits: Vec<Limit> = limits.iter().map(|text| limit(text)).collect();
            uncovered(address.parse().unwrap(), &limits, &[OwnPorts { first: 47_200, last: 47_200, by_slot: false }])
        };
        assert_eq!(of("0.0.0.0:80", &["127.0.0.1:80"]).unwrap(), "-p 127.0.0.1:80 does not cover: use -p 80");
        let metrics = of("127.0.0.1:9100", &["80", "81"]).unwrap();
        assert!(metrics.contains("-p 80 -p 81 does not name") && metrics.contains("--own-port 9100+"), "{metrics}");
        assert!(of("127.0.0.1:47200", &[]).unwrap().contains("--own-port 47200+"));
        for covered in [of("127.0.0.1:80", &[]), of("127.0.0.1:80", &["80"]), of("127.0.0.1:80", &["127.0.0.1:80"])] {
            assert_eq!(covered, None);
        }
    }
}
