//! `--concurrency auto`: who serves one request at a time is found out, and nobody else is taken for one.

use std::{thread, time::Duration};

use crate::harness::{Client, Fleet, Stage, open_loop::open_loop, stage::fixture, until};
use llb::observe::status::LineStatus;

const ADDRESS: &str = "127.0.0.1:8080";

/// `--concurrency auto` is what there is if nothing is said.
const AUTO: [&str; 2] = ["-n", "2"];

/// A server of Python's own library that waits for 20 ms with each request, and a thread for each.
const THREADS: &str = "
import http.server, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(0.02)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'0')
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer.request_queue_size = 1024
http.server.ThreadingHTTPServer(('127.0.0.1', 8080), Handler).serve_forever()
";

/// The same with one thread.
fn one_thread() -> String {
    THREADS.replace("ThreadingHTTPServer", "HTTPServer").replace("0.02", "0.005")
}

fn line(fleet: &Fleet) -> LineStatus {
    fleet.status().line.expect("a line, open or not")
}

/// How often both workers together were seen to do so.
fn looks(fleet: &Fleet, what: &str) -> u64 {
    fleet.status().workers.iter().filter_map(|worker| worker.looks.get(what)).sum()
}

/// Asks for so long; how many requests were not answered.
fn ask(path: &str, every: Duration, time: Duration) -> usize {
    let count = (time.as_micros() / every.as_micros()) as u32;
    let samples = open_loop(ADDRESS, every, count, |_| path.to_owned());
    samples.iter().filter(|sample| sample.answer.is_none()).count()
}

/// Asks one after the other until the line is open, for one request at a time or, where the machine is busy, one more, and then many at once, of whom most wait in it.
fn ask_until_they_wait(fleet: &Fleet, path: &str) {
    until("workers are found to serve one request at a time", || {
        assert_eq!(ask(path, Duration::from_millis(8), Duration::from_secs(1)), 0, "not answered");
        line(fleet).concurrency > 0
    });
    until("who finds nobody free waits in line", || {
        assert_eq!(ask(path, Duration::from_micros(100), Duration::from_millis(2)), 0, "not answered");
        line(fleet).waited > 0
    });
}

#[test]
fn who_serves_in_turn_is_found() {
    let stage = Stage::new();
    let (waits, thread) = (stage.static_server(), one_thread());
    let commands: [(&[&str], &str); 4] = [
        (&["node", &fixture("loop.js"), "127.0.0.1", "8080"], "/block/5"),
        (&["python3", &fixture("loop.py"), "127.0.0.1", "8080"], "/block/5"),
        (&[&waits, "8080", "5"], "/"),
        (&["python3", "-c", &thread], "/"),
    ];
    for (command, path) in commands {
        let fleet = stage.start(&AUTO, command);
        ask_until_they_wait(&fleet, path);
        let line = line(&fleet);
        assert!(line.is_open && line.waiting == 0, "{command:?}: {line:?}");
        assert!(looks(&fleet, "works") >= 32, "{command:?}: {:?}", fleet.worker(0).looks);
        fleet.stop();
    }
}

#[test]
fn who_serves_several_is_left_alone() {
    let stage = Stage::new();
    let commands: [(&[&str], &str); 3] = [
        (&["node", &fixture("loop.js"), "127.0.0.1", "8080"], "/ms/20"),
        (&["python3", &fixture("loop.py"), "127.0.0.1", "8080"], "/ms/20"),
        (&["python3", "-c", THREADS], "/"),
    ];
    for (command, path) in commands {
        let fleet = stage.start(&AUTO, command);
        assert_eq!(ask(path, Duration::from_millis(4), Duration::from_secs(4)), 0, "{command:?}");
        let line = line(&fleet);
        assert_eq!((line.concurrency, line.waited), (0, 0), "{command:?}: {line:?}");
        // On a busy machine a look now and then meets one that is just waking.
        assert!(looks(&fleet, "waits") > looks(&fleet, "works"), "{command:?}: {line:?}");
        fleet.stop();
    }
}

#[test]
fn a_worker_that_changes_is_noticed() {
    let stage = Stage::new();
    let fleet = stage.start(&AUTO, &["python3", &fixture("loop.py"), "127.0.0.1", "8080"]);
    ask_until_they_wait(&fleet, "/block/5");
    thread::scope(|scope| {
        let asking = scope.spawn(|| ask("/ms/50", Duration::from_millis(4), Duration::from_secs(2)));
        until("the line is closed", || line(&fleet).concurrency == 0);
        assert_eq!(asking.join().expect("clients"), 0, "not answered");
    });
    assert_eq!(line(&fleet).waiting, 0);
}

#[test]
fn kept_connections_keep_the_line_closed() {
    let stage = Stage::new();
    let fleet = stage.start(&AUTO, &["node", &fixture("computes.js")]);
    thread::scope(|scope| {
        let asking: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = Client::connect(ADDRESS);
                    (0..300).for_each(|_| {
                        client.send("/?ms=100");
                        client.receive();
                    });
                })
            })
            .collect();
        asking.into_iter().for_each(|client| client.join().expect("a client"));
    });
    let line = line(&fleet);
    assert_eq!((line.concurrency, line.waited), (0, 0), "{line:?}");
}
