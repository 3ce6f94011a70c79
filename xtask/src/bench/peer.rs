//! The ways to put several workers behind one port, and the command lines that start each.

use std::path::Path;
use std::process::Command;

use super::scenario::{SLOW_FACTOR, SLOW_SLOT, Scenario};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    Plain,
    Shared,
    LeastLatency,
    LeastInflight,
    Argmin,
    Haproxy,
    Nginx,
}

impl Peer {
    pub(super) const ALL: [Peer; 7] =
        [Peer::Plain, Peer::Shared, Peer::LeastLatency, Peer::LeastInflight, Peer::Argmin, Peer::Haproxy, Peer::Nginx];

    pub(super) fn name(self) -> &'static str {
        match self {
            Peer::Plain => "plain SO_REUSEPORT",
            Peer::Shared => "one shared accept queue",
            Peer::LeastLatency => "llb least-latency",
            Peer::LeastInflight => "llb least-inflight",
            Peer::Argmin => "llb argmin",
            Peer::Haproxy => "HAProxy leastconn, maxconn 1",
            Peer::Nginx => "nginx least_conn",
        }
    }

    /// llb's policy, if llb steers.
    pub(super) fn policy(self) -> Option<&'static str> {
        match self {
            Peer::LeastLatency => Some("least-latency"),
            Peer::LeastInflight => Some("least-inflight"),
            Peer::Argmin => Some("argmin"),
            Peer::Plain | Peer::Shared | Peer::Haproxy | Peer::Nginx => None,
        }
    }

    /// The program that it needs and that is not ours.
    pub(super) fn program(self) -> Option<&'static str> {
        match self {
            Peer::Haproxy => Some("haproxy"),
            Peer::Nginx => Some("nginx"),
            _ => None,
        }
    }
}

/// One worker; without a port its listener is its standard input.
pub(super) fn worker(xtask: &Path, scenario: Scenario, port: Option<u16>, ready: u16) -> Command {
    let mut command = Command::new(xtask);
    command.args(["bench-worker", "--ready", &ready.to_string()]);
    if let Some(port) = port {
        command.args(["--port", &port.to_string()]);
    }
    if scenario == Scenario::SlowOne {
        command.args(["--slow-slot", &SLOW_SLOT.to_string(), "--slow-factor", &SLOW_FACTOR.to_string()]);
    }
    command
}

/// llb with its workers.
pub(super) fn llb(llb: &Path, policy: &str, workers: usize, runtime: &Path, port: u16, worker: &Command) -> Command {
    let mut command = Command::new(llb);
    command.args(["run", "--name", &format!("bench-{}", std::process::id()), "--workers", &workers.to_string()]);
    command.args(["--policy", policy, "--port", &format!("127.0.0.1:{port}"), "--drain-timeout", "500ms"]);
    command.arg("--runtime-dir").arg(runtime).arg("--").arg(worker.get_program()).args(worker.get_args());
    command
}

/// One request at a time for each worker, the others wait in HAProxy: its best setting for workers that block.
pub(super) fn haproxy_config(port: u16, workers: &[u16]) -> String {
    let mut config = format!(
        "global\n  maxconn 8192\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 10s\n  timeout server 10s\n  \
         timeout queue 10s\nlisten bench\n  bind 127.0.0.1:{port} backlog 4096\n  balance leastconn\n"
    );
    for (slot, worker) in workers.iter().enumerate() {
        config += &format!("  server w{slot} 127.0.0.1:{worker} maxconn 1\n");
    }
    config
}

/// One process, so that its counts of connections are those of all.
pub(super) fn nginx_config(directory: &Path, port: u16, workers: &[u16]) -> String {
    let directory = directory.display();
    let mut config = format!(
        "daemon off;\nmaster_process off;\npid {directory}/nginx.pid;\nerror_log stderr crit;\n\
         events {{ worker_connections 8192; }}\nhttp {{\n  access_log off;\n"
    );
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        config += &format!("  {kind}_temp_path {directory}/nginx-{kind};\n");
    }
    config += "  upstream workers {\n    least_conn;\n";
    for worker in workers {
        config += &format!("    server 127.0.0.1:{worker} max_fails=0;\n");
    }
    config += &format!(
        "  }}\n  server {{\n    listen 127.0.0.1:{port} backlog=4096;\n    location / {{\n      proxy_pass http://workers;\n      \
         proxy_next_upstream off;\n    }}\n  }}\n}}\n"
    );
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(command: &Command) -> String {
        command.get_args().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn llb_starts_the_workers_that_the_others_start() {
        let worker = worker(Path::new("xtask"), Scenario::SlowOne, Some(80), 81);
        let alone = "bench-worker --ready 81 --port 80 --slow-slot 3 --slow-factor 10";
        assert_eq!(shown(&worker), alone);
        let steered = shown(&llb(Path::new("llb"), "argmin", 8, Path::new("/r"), 80, &worker));
        assert!(steered.ends_with(&format!("--runtime-dir /r -- xtask {alone}")), "{steered}");
    }

    #[test]
    fn the_proxies_know_every_worker() {
        assert!(
            haproxy_config(1, &[2, 3])
                .ends_with("server w0 127.0.0.1:2 maxconn 1\n  server w1 127.0.0.1:3 maxconn 1\n")
        );
        let nginx = nginx_config(Path::new("/d"), 1, &[2, 3]);
        assert!(nginx.contains("server 127.0.0.1:2 ") && nginx.contains("server 127.0.0.1:3 "), "{nginx}");
        assert_eq!(nginx.matches('{').count(), nginx.matches('}').count());
    }
}
