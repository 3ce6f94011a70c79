//! The cells of the set: each one kind of traffic before one kind of worker.

mod catalogue;

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::provide::Provided;

pub(super) use catalogue::ALL;

/// What the workers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// Ours in Python, of this kind and with these options.
    Python(&'static str, &'static [&'static str]),
    /// Ours in Node: `http` or `h2`.
    Node(&'static str),
    /// Ours in Go, on net/http.
    Go,
    /// uvicorn with our application.
    Uvicorn,
    /// gunicorn with our application, a thread that accepts and four that serve.
    Gunicorn,
    /// aiosmtpd as it comes.
    Smtp,
}

/// By what policies are compared in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    P99,
    /// The part of the requests that gets no good answer: where a worker fails, latency says nothing.
    Failed,
}

/// One cell. The fields of the load are those that client.py reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) program: Program,
    pub(super) workers: usize,
    /// What the clients speak: `http`, `tls`, `h2`, `h2-tls`, `mail`, `smtp`.
    ask: &'static str,
    /// Connections that are held meanwhile, what they do, and the time between two, s.
    hold: u32,
    held: &'static str,
    gap: f64,
    /// Whether the requests come on the connections that are held, each on any of them.
    pub(super) over_held: bool,
    /// Requests a second.
    rate: f64,
    /// What they ask for, how often, and whether their latency counts.
    paths: &'static [(&'static str, u32, bool)],
    /// Load before the one that counts, s.
    warm: f64,
    /// Whether worker 1 is stopped for half of the time.
    stop: bool,
    pub(super) figure: Figure,
}

impl Cell {
    /// Who listens on this port.
    pub(super) fn worker(&self, provided: &Provided, port: u16) -> Command {
        let port = port.to_string();
        let ours = |interpreter: PathBuf, file| {
            let mut command = Command::new(interpreter);
            command.arg(provided.here.join(file));
            command
        };
        let mut command = match self.program {
            Program::Python(kind, options) => {
                let mut command = ours(provided.python.clone(), "server.py");
                command.args([kind, &port]).args(options);
                command
            }
            Program::Node(kind) => {
                let mut command = ours("node".into(), "server.js");
                command.args([kind, &port]);
                command
            }
            Program::Go => Command::new(&provided.go_server),
            Program::Uvicorn => {
                let mut command = Command::new(&provided.python);
                command.args(["-m", "uvicorn", "--log-level", "warning", "--host", "127.0.0.1", "--port", &port]);
                command.arg("--app-dir").arg(&provided.here).arg("server:app");
                command
            }
            Program::Gunicorn => {
                let mut command = Command::new(&provided.python);
                command.args([
                    "-m",
                    "gunicorn",
                    "--log-level",
                    "warning",
                    "--worker-class",
                    "gthread",
                    "--threads",
                    "4",
                ]);
                command.args(["--bind", &format!("127.0.0.1:{port}"), "--chdir"]).arg(&provided.here);
                command.arg("server:wsgi");
                command
            }
            Program::Smtp => {
                let mut command = Command::new(&provided.python);
                command.args(["-m", "aiosmtpd", "--nosetuid", "--class", "aiosmtpd.handlers.Sink", "--listen"]);
                command.arg(format!("127.0.0.1:{port}"));
                command
            }
        };
        if self.program == Program::Go {
            command.arg(&port);
        }
        command.env("CERTIFICATE", &provided.certificate);
        command
    }

    /// What client.py is told.
    pub(super) fn load(&self, port: u16, seconds: f64, seed: u64) -> Value {
        json!({
            "port": port, "seconds": seconds, "seed": seed, "ask": self.ask, "hold": self.hold, "held": self.held,
            "gap": self.gap, "over_held": self.over_held, "rate": self.rate, "paths": self.paths, "warm": self.warm,
            "stop": self.stop,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_have_names_and_the_rest_is_told() {
        for (at, cell) in ALL.iter().enumerate() {
            assert!(!cell.name.is_empty() && !cell.about.is_empty());
            assert!(ALL[..at].iter().all(|other| other.name != cell.name), "{}", cell.name);
            assert_eq!(cell.load(1, 1.0, 1)["paths"][0][0], cell.paths[0].0);
            assert!(!cell.over_held || cell.held == "kept", "{}", cell.name);
        }
    }
}
