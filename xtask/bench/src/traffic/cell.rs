//! The cells of the set: each one kind of traffic before one kind of worker.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::provide::Provided;

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
    /// What the clients speak: `http`, `tls`, `h2`, `mail`, `smtp`.
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

/// Four event loops that stand still for 25 ms a request, busy for 40% of the time. What a shared machine does to a moment is
/// little beside that, and five fleets with their clients leave two cores half idle.
const BASE: Cell = Cell {
    name: "",
    about: "",
    program: Program::Python("loop", &[]),
    workers: 4,
    ask: "http",
    hold: 0,
    held: "",
    gap: 0.02,
    over_held: false,
    rate: 64.0,
    paths: &[("/block/25", 1, true)],
    warm: 0.5,
    stop: false,
    figure: Figure::P99,
};

/// Workers that serve one request at a time, and one of fifty takes forty times as long.
const SERIAL: Cell = Cell {
    program: Program::Python("serial", &[]),
    workers: 6,
    rate: 60.0,
    paths: &[("/block/15", 49, true), ("/block/600", 1, false)],
    ..BASE
};

pub(super) const ALL: &[Cell] = &[
    Cell { name: "polls-asyncio", about: "8 idle long polls, asyncio", hold: 8, held: "poll", ..BASE },
    Cell {
        name: "polls-node",
        about: "8 idle long polls, Node",
        hold: 8,
        held: "poll",
        program: Program::Node("http"),
        ..BASE
    },
    Cell {
        name: "polls-uvicorn",
        about: "8 idle long polls, uvicorn",
        hold: 8,
        held: "poll",
        program: Program::Uvicorn,
        ..BASE
    },
    Cell {
        name: "polls-go",
        about: "8 idle long polls, Go's net/http, which serves any number at once; 2% take 500 ms",
        hold: 8,
        held: "poll",
        program: Program::Go,
        paths: &[("/ms/25", 49, true), ("/ms/500", 1, false)],
        ..BASE
    },
    Cell { name: "half-headers", about: "8 headers that never end, asyncio", hold: 8, held: "half", ..BASE },
    Cell {
        name: "uploads-node",
        about: "8 slow uploads, a byte each second, Node",
        hold: 8,
        held: "upload",
        program: Program::Node("http"),
        ..BASE
    },
    Cell {
        name: "many-polls-node",
        about: "18 idle long polls, Node: some workers hold more of them than others",
        hold: 18,
        held: "poll",
        program: Program::Node("http"),
        ..BASE
    },
    Cell {
        name: "websockets-node",
        about: "16 WebSockets on which only the client speaks, Node",
        hold: 16,
        held: "socket",
        program: Program::Node("http"),
        ..BASE
    },
    Cell { name: "tail", about: "one request at a time, in the clear; 2% take 600 ms and the others 15", ..SERIAL },
    Cell {
        name: "tail-tls",
        about: "the same over TLS 1.3",
        program: Program::Python("serial", &["--tls"]),
        ask: "tls",
        ..SERIAL
    },
    Cell {
        name: "tail-tls-no-tickets",
        about: "the same, and the server sends no session tickets",
        program: Program::Python("serial", &["--tls", "--no-tickets"]),
        ask: "tls",
        ..SERIAL
    },
    Cell {
        name: "slow-tls",
        about: "TLS 1.3, asyncio; worker 0 takes 20 times as long",
        program: Program::Python("loop", &["--tls", "--slow", "20"]),
        ask: "tls",
        paths: &[("/block/10", 1, true)],
        ..BASE
    },
    Cell {
        name: "failing-1-ms",
        about: "one request at a time, 25 ms; worker 0 answers 500 after 1 ms",
        program: Program::Python("serial", &["--bad", "1"]),
        figure: Figure::Failed,
        ..BASE
    },
    Cell {
        name: "failing-10-ms",
        about: "the same, after 10 ms",
        program: Program::Python("serial", &["--bad", "10"]),
        figure: Figure::Failed,
        ..BASE
    },
    Cell {
        name: "kept",
        about: "40 kept connections, opened 50 ms apart, asyncio; then all requests on them",
        hold: 40,
        held: "kept",
        gap: 0.05,
        over_held: true,
        ..BASE
    },
    Cell {
        name: "kept-h2",
        about: "40 kept HTTP/2 connections in the clear, Node; then all requests on them",
        hold: 40,
        held: "kept",
        gap: 0.05,
        over_held: true,
        program: Program::Node("h2"),
        ask: "h2",
        ..BASE
    },
    Cell {
        name: "h2",
        about: "a connection for each request of HTTP/2 in the clear, beside 8 idle ones, Node",
        hold: 8,
        held: "kept",
        program: Program::Node("h2"),
        ask: "h2",
        ..BASE
    },
    Cell {
        name: "one-way",
        about: "40 clients that send a line each second, 15 ms of work, and get no answer, asyncio",
        hold: 40,
        held: "lines",
        program: Program::Python("sink", &[]),
        rate: 24.0,
        ..BASE
    },
    Cell {
        name: "speaks-first",
        about: "a server that speaks first, asyncio; worker 1 is stopped for half of the time",
        program: Program::Python("mail", &[]),
        ask: "mail",
        paths: &[("25", 1, true)],
        rate: 48.0,
        stop: true,
        ..BASE
    },
    Cell {
        name: "mail",
        about: "aiosmtpd, which does not say who answers",
        program: Program::Smtp,
        ask: "smtp",
        ..BASE
    },
    Cell { name: "cold-node", about: "Node right after its start", program: Program::Node("http"), warm: 0.0, ..BASE },
    Cell {
        name: "threads",
        about: "eight threads a worker; 5% take 500 ms and the others 25",
        program: Program::Python("threads", &[]),
        paths: &[("/block/25", 19, true), ("/block/500", 1, false)],
        ..BASE
    },
    Cell {
        name: "processes",
        about: "two processes a worker; 2% take 500 ms and the others 25",
        program: Program::Python("processes", &[]),
        paths: &[("/block/25", 49, true), ("/block/500", 1, false)],
        ..BASE
    },
    Cell {
        name: "computing",
        about: "asyncio that computes; 4% take 50 ms and the others 2",
        paths: &[("/burn/2", 24, true), ("/burn/50", 1, false)],
        rate: 30.0,
        ..BASE
    },
    Cell {
        name: "held",
        about: "one connection at a time, to its end; two of the six workers are kept so",
        hold: 2,
        held: "kept",
        paths: &[("/block/25", 1, true)],
        ..SERIAL
    },
];

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
