//! All cells, by what each differs in from the usual one.

use super::{Cell, Figure, Program};

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

pub(in crate::traffic) const ALL: &[Cell] = &[
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
        name: "h2-tls",
        about: "the same in TLS",
        hold: 8,
        held: "kept",
        program: Program::Node("h2-tls"),
        ask: "h2-tls",
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
        name: "pools-gunicorn",
        about: "gunicorn's gthread: a thread that accepts and four that serve; 5% take 1 s and the others 10 ms",
        program: Program::Gunicorn,
        rate: 100.0,
        paths: &[("/ms/10", 19, true), ("/ms/1000", 1, false)],
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
