//! The workers in examples/ do what they say: under llb they serve and report, finish when they are told to, and lose nothing
//! by it; alone they serve. The shortest ones: tests/short.rs.

use crate::harness::{
    Stage,
    example::{Example, path},
    until,
};

fn stands_it_all(example: &Example) {
    example.serves_and_reports();
    example.is_reloaded_without_loss();
    example.finishes_when_it_is_told_to();
    example.says_how_late_it_is();
    example.outlives_llb();
    example.serves_alone();
}

#[test]
fn the_worker_in_python_serves_and_reports() {
    let example = Example::new("python3", "python/worker.py", &["latency", "pong", "ready"]);
    example.serves_and_reports();
    example.outlives_llb();
    example.waits_for_no_reader();
    example.serves_alone();
}

#[test]
fn the_worker_on_asyncio_serves_reports_and_finishes() {
    let example = Example::new("python3", "python/asyncio_worker.py", &["pong", "ready"]);
    stands_it_all(&example);
}

#[test]
fn the_worker_on_node_serves_reports_and_finishes() {
    let example = Example::new("node", "node/server.js", &["pong", "ready"]);
    stands_it_all(&example);
}

#[test]
fn the_worker_on_axum_serves_reports_and_finishes() {
    let example = Example::rust("axum", &["latency", "pong", "ready"]);
    stands_it_all(&example);
    example.waits_for_no_reader();
}

/// Slot 0 spins for 40 ms, again and again, with nothing to answer: its siblings' loops turn at once.
#[test]
fn an_event_loop_that_is_late_says_so() {
    let stage = Stage::new();
    let llb = path("node/llb.js");
    let server = stage.write(
        "server.js",
        &format!(
            "require('{llb}').listen(require('node:http').createServer((_, response) => response.end('hello')), 8080)
            const spin = () => {{ for (const end = Date.now() + 40; Date.now() < end;); }}
            if (process.env.WORKER_ID === '0') setInterval(spin, 45)"
        ),
    );
    let args = ["-n", "2", "--ready-when", "ready"];
    let fleet = stage.start(&args, &["node", server.to_str().expect("UTF-8")]);
    // Nobody asks it for anything: what llb knows it knows from pings.
    until("the late one is known", || {
        let cost_us = |slot| fleet.worker(slot).cost_us;
        cost_us(0) > 15_000.0 && cost_us(1) < cost_us(0) / 3.0
    });
    until("the other is published as the one that answers soonest", || fleet.status().least_slot == Some(1));
}
