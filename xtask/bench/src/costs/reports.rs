//! What a worker in Rust takes to report a request: its start and its end, readings of the clock included, and its part
//! of the line in which it is said with others.

use std::hint::black_box;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use llb::worker::Reporter;
use serde_json::{Value, json};

use llb_kit::clock::now;

/// What a reported request may take in all, ns.
const TARGET_NS: f64 = 100.0;

/// Requests that a busy worker answers in a second: the line's part is told at this rate.
const PER_SECOND: f64 = 10_000.0;

/// Requests that are timed at once, by each thread: a tenth of a second, with a line or two in it.
const REQUESTS: u32 = 2_000_000;

/// Longer than a reporter waits between two lines, so that the next request is the one that says it.
const BETWEEN_LINES: Duration = Duration::from_millis(220);

/// Lines that are timed, and the most that a reporter says in a second.
const LINES: usize = 40;
const LINES_PER_SECOND: f64 = 5.0;

/// Rounds of each, of which the middle one counts.
const ROUNDS: usize = 5;

/// What was measured, ns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reports {
    /// Two readings of the clock and nothing else: what most requests do without.
    clock_ns: f64,
    /// A request, by one thread.
    request_ns: f64,
    /// A request, while so many threads report at once.
    threads: usize,
    threads_ns: f64,
    /// A request that also says the line.
    line_ns: f64,
}

pub(super) fn measure() -> Result<Reports> {
    let (mut llbs, workers) = UnixStream::pair().context("no channel")?;
    thread::spawn(move || {
        let mut chunk = [0; 4096];
        while llbs.read(&mut chunk).is_ok_and(|read| read > 0) {}
    });
    let reporter = Reporter::over(workers)?;
    let threads = thread::available_parallelism()?.get();
    let request = || drop(reporter.request());
    Ok(Reports {
        clock_ns: middle(ROUNDS, || each_of(1, || _ = black_box((now(), now())))),
        request_ns: middle(ROUNDS, || each_of(1, request)),
        threads,
        threads_ns: middle(ROUNDS, || each_of(threads, request)),
        line_ns: middle(LINES, || {
            thread::sleep(BETWEEN_LINES);
            let begun = now();
            request();
            begun.elapsed().as_nanos() as f64
        }),
    })
}

/// What one of many takes, ns, while so many threads do as many each.
fn each_of(threads: usize, what: impl Fn() + Sync) -> f64 {
    let begun = now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| (0..REQUESTS).for_each(|_| what()));
        }
    });
    begun.elapsed().as_nanos() as f64 / f64::from(REQUESTS)
}

fn middle(rounds: usize, measure: impl FnMut() -> f64) -> f64 {
    let mut measured: Vec<f64> = std::iter::repeat_with(measure).take(rounds).collect();
    measured.sort_by(f64::total_cmp);
    measured[rounds / 2]
}

impl Reports {
    /// A request with its part of the lines, ns.
    fn amortised_ns(&self) -> f64 {
        self.request_ns + self.line_ns * LINES_PER_SECOND / PER_SECOND
    }

    pub(super) fn text(&self) -> String {
        let Reports { clock_ns, request_ns, threads, threads_ns, line_ns } = self;
        let amortised_ns = self.amortised_ns();
        let missed = amortised_ns / TARGET_NS;
        let verdict = if missed <= 1.0 { "ok".to_owned() } else { format!("{missed:.1} times") };
        format!(
            "\nA worker in Rust, ns a reported request\n\n\
             start and end           {request_ns:6.0}  reading the clock twice alone takes {clock_ns:.0}, so few are timed\n\
             on {threads:3} threads at once  {threads_ns:6.0}  of each thread's time\n\
             the line                {line_ns:6.0}  {LINES_PER_SECOND:.0} times a second at most, whatever the number of requests\n\
             all                     {amortised_ns:6.0}  at {PER_SECOND:.0} requests a second (target {TARGET_NS:.0}: {verdict})\n"
        )
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "clock_ns": self.clock_ns,
            "request_ns": self.request_ns,
            "threads": self.threads,
            "request_on_threads_ns": self.threads_ns,
            "line_ns": self.line_ns,
            "amortised_ns": self.amortised_ns(),
            "target_ns": TARGET_NS,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shared_by_the_requests_of_a_fifth_of_a_second() {
        let reports = Reports { clock_ns: 40.0, request_ns: 60.0, threads: 2, threads_ns: 70.0, line_ns: 9_000.0 };
        assert_eq!(reports.amortised_ns(), 64.5);
        assert!(reports.text().contains("64  at 10000 requests a second (target 100: ok)"), "{}", reports.text());
    }
}
