//! A line with more clients than it has places for. How late llb is decides who finds one, so nothing runs beside these.

use std::{
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use crate::harness::{
    Client, Stage,
    in_line::{line, occupy, start_in_line},
    open_loop::open_loop,
    until,
};

const ADDRESS: &str = "127.0.0.1:8080";

#[test]
fn a_line_that_is_full_turns_nobody_away() {
    let stage = Stage::new();
    let fleet = start_in_line(&stage, "2");
    let busy = occupy(&fleet, ADDRESS, 2);
    let come = |_| {
        let mut client = Client::connect(ADDRESS);
        client.send_last("/ms/1");
        client
    };
    let all: Vec<Client> = (0..300).map(come).collect();
    until("a part of the line is free again", || line(&fleet.status()).waiting == 192);
    for mut client in all.into_iter().chain(busy) {
        assert_eq!(client.receive().status, 200);
    }
    fleet.wait_until_quiet();
    assert_eq!(line(&fleet.status()).waiting, 0);
}

/// Who comes while a line is full finds it nearly so, and those who came first have gone to workers.
#[test]
fn nobody_goes_before_a_line_that_is_full() {
    let stage = Stage::new();
    let fleet = start_in_line(&stage, "1");
    let busy = occupy(&fleet, ADDRESS, 1);
    let (answered, threads) = (Arc::new(Mutex::new(Vec::new())), 0..400);
    let threads = threads.map(|number| {
        let answered = Arc::clone(&answered);
        let mut client = Client::connect(ADDRESS);
        client.send_last("/ms/5");
        // As they come from afar, and not all in one moment.
        thread::sleep(Duration::from_millis(1));
        thread::spawn(move || {
            assert_eq!(client.receive().status, 200);
            answered.lock().unwrap().push(number);
        })
    });
    let threads: Vec<_> = threads.collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    drop(busy);
    let answered = answered.lock().unwrap();
    let before_time = answered.iter().enumerate().map(|(at, number)| number - at as i64).max().unwrap();
    assert!(before_time < 40, "{before_time}: {answered:?}");
}

/// Who goes to a busy worker, as the line is full, counts there until it has its own answer, not until another has.
#[test]
fn a_line_that_is_full_fills_all_workers_alike() {
    let stage = Stage::new();
    let fleet = start_in_line(&stage, "4");
    let (samples, queued) = thread::scope(|scope| {
        // Two and a half times what four workers can do.
        let load = scope.spawn(|| open_loop(ADDRESS, Duration::from_millis(1), 1_000, |_| "/ms/10".into()));
        let mut queued = Vec::new();
        while !load.is_finished() {
            queued.push(fleet.status().workers.iter().filter_map(|worker| worker.queued).collect::<Vec<_>>());
            thread::sleep(Duration::from_millis(5));
        }
        (load.join().expect("a load"), queued)
    });
    assert!(samples.iter().all(|sample| sample.slot().is_some()));
    let fullest = queued.into_iter().max_by_key(|queued| queued.iter().sum::<u64>()).expect("a look");
    let (least, most) = (fullest.iter().min().expect("four"), fullest.iter().max().expect("four"));
    // Whoever is better by less than an eighth is not preferred.
    assert!(*least > 30 && most * 4 <= least * 5, "{fullest:?}");
}
