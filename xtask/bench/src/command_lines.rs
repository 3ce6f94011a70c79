//! The command lines and configurations that start each peer.

use std::path::Path;
use std::process::Command;

use super::spec::{Kind, Spec};
use llb_kit::sh;

/// Node's share of the benchmark; it is written to a file before it runs.
pub(super) const NODE_WORKER: &str = include_str!("node/worker.js");

/// In Node a request of at least so much work burns the CPU, a shorter one waits as for a database, µs.
const NODE_BURNS_FROM_US: u64 = 10_000;

/// Where the programs are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Programs<'a> {
    pub(super) this: &'a Path,
    pub(super) llb: &'a Path,
    pub(super) node_worker: &'a Path,
}

/// Where a worker listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listens {
    On(u16),
    Sharing(u16),
    /// On its standard input.
    Inherited,
}

/// One worker; it connects to the port `ready` once it listens.
pub(super) fn worker(programs: &Programs<'_>, spec: &Spec, listens: Listens, ready: u16) -> Command {
    let mut command = if spec.kind == Kind::Node {
        let mut command = node(programs, ready);
        command.args(["--burn-from-us", &NODE_BURNS_FROM_US.to_string()]);
        command
    } else {
        let mut command = Command::new(programs.this);
        command.args(["bench-worker", "--ready", &ready.to_string(), "--slowness", &slowness(spec)]);
        if spec.kind == Kind::Events {
            command.arg("--events");
        }
        if spec.walks_kib > 0 {
            command.args(["--walks-kib", &spec.walks_kib.to_string()]);
        }
        if spec.reports > 0 {
            command.args(["--reports", &spec.reports.to_string()]);
        }
        command
    };
    match listens {
        Listens::On(port) => drop(command.args(["--port", &port.to_string()])),
        Listens::Sharing(port) => drop(command.args(["--port", &port.to_string(), "--reuseport"])),
        Listens::Inherited => {}
    }
    command
}

/// Node's cluster with all its workers. Where the others' workers block, its workers do.
pub(super) fn cluster(programs: &Programs<'_>, spec: &Spec, schedule: &str, port: u16, ready: u16) -> Command {
    let mut command = node(programs, ready);
    if spec.kind == Kind::Node {
        command.args(["--burn-from-us", &NODE_BURNS_FROM_US.to_string()]);
    }
    command.args(["--port", &port.to_string(), "--cluster", schedule, "--workers", &spec.workers().to_string()]);
    command
}

fn node(programs: &Programs<'_>, ready: u16) -> Command {
    let mut command = Command::new(sh::find("node").unwrap_or_else(|| "node".into()));
    command.arg(programs.node_worker).args(["--ready", &ready.to_string()]);
    command
}

fn slowness(spec: &Spec) -> String {
    spec.slowness.iter().map(f64::to_string).collect::<Vec<_>>().join(",")
}

/// The same in another cgroup.
pub(super) fn inside(cgroup: &Path, command: &Command) -> Command {
    let mut entered = Command::new("sh");
    entered.args(["-c", r#"echo 0 > "$0/cgroup.procs" && exec "$@""#]).arg(cgroup);
    entered.arg(command.get_program()).args(command.get_args());
    entered.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    entered
}

/// llb with its workers.
pub(super) fn llb(
    programs: &Programs<'_>,
    spec: &Spec,
    policy: &str,
    more: &[&str],
    runtime: &Path,
    port: u16,
    worker: &Command,
) -> Command {
    let mut command = Command::new(programs.llb);
    // All fleets of a scenario are there at once, each with a port of its own.
    let name = format!("bench-{}-{port}", std::process::id());
    command.args(["run", "--name", &name, "--workers", &spec.workers().to_string()]);
    command.args([
        "--policy",
        policy,
        "--tracking",
        spec.tracking,
        "--port",
        &format!("127.0.0.1:{port}"),
        "--drain-timeout",
        "500ms",
    ]);
    command.args(more);
    command.arg("--runtime-dir").arg(runtime).arg("--").arg(worker.get_program()).args(worker.get_args());
    command
}

/// llb with workers of any program.
pub(super) fn llb_of(
    llb: &Path,
    name: &str,
    policy: &str,
    workers: usize,
    runtime: &Path,
    port: u16,
    worker: &Command,
) -> Command {
    let mut command = Command::new(llb);
    command.args(["run", "--name", name, "--workers", &workers.to_string(), "--policy", policy]);
    command.args(["--port", &format!("127.0.0.1:{port}"), "--drain-timeout", "500ms", "--runtime-dir"]).arg(runtime);
    command.arg("--").arg(worker.get_program()).args(worker.get_args());
    command.envs(worker.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

/// With `one_each` every worker gets one request at a time and the others wait in HAProxy: its best setting for workers
/// that block.
pub(super) fn haproxy_config(port: u16, workers: &[u16], one_each: bool) -> String {
    let mut config = format!(
        "global\n  maxconn 8192\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 10s\n  timeout server 10s\n  \
         timeout queue 10s\nlisten bench\n  bind 127.0.0.1:{port} backlog 4096\n  balance leastconn\n"
    );
    let limit = if one_each { " maxconn 1" } else { "" };
    for (slot, worker) in workers.iter().enumerate() {
        config += &format!("  server w{slot} 127.0.0.1:{worker}{limit}\n");
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
    use crate::scenario::Scenario;
    use crate::spec::spec;

    const PROGRAMS: fn() -> Programs<'static> =
        || Programs { this: Path::new("llb-bench"), llb: Path::new("llb"), node_worker: Path::new("w.js") };

    fn shown(command: &Command) -> String {
        command.get_args().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn llb_starts_the_workers_that_the_others_start() {
        let spec = spec(Scenario::SlowOne, false);
        let worker = worker(&PROGRAMS(), &spec, Listens::On(80), 81);
        let alone = "bench-worker --ready 81 --slowness 1,1,1,10,1,1,1,1 --port 80";
        assert_eq!(shown(&worker), alone);
        let steered = shown(&llb(&PROGRAMS(), &spec, "argmin", &[], Path::new("/r"), 80, &worker));
        assert!(steered.ends_with(&format!("--runtime-dir /r -- llb-bench {alone}")), "{steered}");
    }

    #[test]
    fn nodes_cluster_burns_only_where_everybody_is_node() {
        let burns = |scenario| shown(&cluster(&PROGRAMS(), &spec(scenario, false), "rr", 80, 81)).contains("--burn");
        assert!(burns(Scenario::Node) && !burns(Scenario::HeavyTail));
    }

    #[test]
    fn the_proxies_know_every_worker() {
        let haproxy = haproxy_config(1, &[2, 3], true);
        assert!(haproxy.ends_with("server w0 127.0.0.1:2 maxconn 1\n  server w1 127.0.0.1:3 maxconn 1\n"));
        assert!(haproxy_config(1, &[2], false).ends_with("server w0 127.0.0.1:2\n"));
        let nginx = nginx_config(Path::new("/d"), 1, &[2, 3]);
        assert!(nginx.contains("server 127.0.0.1:2 ") && nginx.contains("server 127.0.0.1:3 "), "{nginx}");
        assert_eq!(nginx.matches('{').count(), nginx.matches('}').count());
    }
}
