//! Both ends of the channel, in one process.

use std::{
    io::{BufRead, BufReader, Write},
    sync::mpsc,
};

use serde_json::{Value, json};

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

struct Llb(BufReader<UnixStream>);

impl Llb {
    fn of() -> (Self, Reporter) {
        let (llbs, workers) = UnixStream::pair().unwrap();
        llbs.set_read_timeout(Some(PATIENCE)).unwrap();
        (Llb(BufReader::new(llbs)), Reporter::over(workers).unwrap())
    }

    fn hears(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }

    fn says(&mut self, message: &Value) {
        writeln!(self.0.get_mut(), "{message}").unwrap();
    }
}

#[test]
fn requests_are_reported_with_their_count_and_a_cancelled_one_is_not() {
    let (mut llb, reporter) = Llb::of();
    reporter.latency(Duration::from_millis(5));
    assert_eq!(llb.hears(), json!({"cmd": "latency", "us": 5000, "n": 1}));
    reporter.request().cancel();
    assert_eq!(reporter.time(|| 7), 7);
    drop(reporter.request());
    // What is left is said with the answer to a ping, unless the machine was so slow that it was said before.
    llb.says(&json!({"cmd": "ping", "id": 7}));
    let mut requests = 0;
    loop {
        let heard = llb.hears();
        requests += heard["n"].as_u64().unwrap_or(0);
        if heard["cmd"] == "pong" {
            break;
        }
    }
    assert_eq!(requests, 2);
}

#[test]
fn both_words_are_said_and_llbs_own_are_heard() {
    let (mut llb, reporter) = Llb::of();
    reporter.ready().unwrap();
    reporter.disconnect().unwrap();
    assert_eq!((llb.hears(), llb.hears()), (json!({"cmd": "ready"}), json!({"cmd": "disconnect"})));
    let (told, hears) = mpsc::channel();
    reporter.on_disconnect(move || told.send(()).unwrap());
    llb.says(&json!({"cmd": "ping", "id": 9}));
    assert_eq!(llb.hears(), json!({"cmd": "pong", "id": 9}));
    assert!(hears.try_recv().is_err());
    llb.says(&json!({"cmd": "disconnect"}));
    hears.recv_timeout(PATIENCE).expect("it is called");
}

#[test]
fn a_worker_outlives_llb_and_is_told_that_it_is_gone() {
    let (llb, reporter) = Llb::of();
    drop(llb);
    reporter.latency(Duration::from_millis(5));
    let error = reporter.ready().unwrap_err();
    assert_eq!(error.to_string(), "cannot tell llb {\"cmd\":\"ready\"}");
}

#[test]
fn without_llb_nothing_is_said_and_nothing_fails() {
    let reporter = Reporter(None);
    assert!(!reporter.is_under_llb());
    reporter.ready().unwrap();
    reporter.disconnect().unwrap();
    assert_eq!(reporter.time(|| 7), 7);
    reporter.latency(Duration::MAX);
    reporter.on_disconnect(|| unreachable!());
}
