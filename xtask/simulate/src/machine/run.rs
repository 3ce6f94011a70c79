//! One run: connections come, a worker is chosen, is woken if it must be, and answers.

use llb_common::{abi::Conn, track};

use llb_kit::random::Random;

use super::{
    cores::{Burst, Cores, Happened},
    scenarios::{Clients, Machine},
};
use crate::{
    SECOND,
    books::Books,
    method::{Method, Peak},
};

/// What a request costs whoever asks, ns, in two steps: to take an answer, close and connect again, with the
/// kernel's work for the handshake; and to send.
const CONNECT_NS: u64 = 15_000;
const SEND_NS: u64 = 10_000;

/// What there is to do; also the times that are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Job {
    /// The clients' loop: a new connection of this client.
    Connect(usize),
    /// The clients' loop: its request.
    Send(usize),
    /// A worker: this connection.
    Serve(usize),
    Publish,
    /// A connection from elsewhere.
    Arrive,
}

#[derive(Clone, Copy, Debug, Default)]
struct Connection {
    at: u64,
    worker: usize,
    client: usize,
    conn: Conn,
    work_ns: u64,
    short: bool,
}

/// What came out of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Asked {
    /// Answers a second.
    pub(crate) rate: f64,
    /// From the SYN to the first byte back, ns, of the short ones.
    pub(crate) short_ns: Vec<u64>,
    /// Of all choices, those of a worker that slept.
    pub(crate) woken: f64,
}

struct World<'a> {
    machine: &'a Machine,
    method: Method,
    cores: Cores<Job>,
    books: Books,
    peaks: Vec<Peak>,
    connections: Vec<Connection>,
    random: Random,
    work: Random,
    answered: usize,
    asked: Asked,
}

/// Runs a machine.
pub(crate) fn run(machine: &Machine, method: Method, seed: u64) -> Asked {
    let mut books = Books::new(machine.workers);
    books.members = (0..machine.workers as u32).collect();
    let clients = if let Clients::Closed(count) = machine.clients { count } else { 0 };
    let mut world = World {
        machine,
        method,
        cores: Cores::new(machine.cores, machine.workers, clients, seed),
        books,
        peaks: vec![Peak::default(); machine.workers],
        connections: Vec::new(),
        random: Random::stream(seed, 2),
        work: Random::stream(seed, 1),
        answered: 0,
        asked: Asked::default(),
    };
    world.begin();
    let mut now = 0;
    while world.answered < machine.requests {
        let Some((at, happened)) = world.cores.next() else { break };
        now = at;
        match happened {
            Some(Happened::Alarm(job)) => world.happen(job, None, now),
            Some(Happened::Done { task, job }) => {
                world.happen(job, Some(task), now);
                world.cores.go_on(task, now);
            }
            None => {}
        }
    }
    world.asked.rate = world.answered as f64 / now.max(1) as f64 * SECOND as f64;
    world.asked.woken /= world.answered.max(1) as f64;
    world.asked
}

impl World<'_> {
    fn begin(&mut self) {
        self.cores.alarm(1, Job::Publish);
        match self.machine.clients {
            Clients::Closed(count) => {
                for client in 0..count {
                    self.client(client, Job::Connect(client), CONNECT_NS, None, 0);
                }
            }
            Clients::Open(_) | Clients::Swing { .. } => self.cores.alarm(0, Job::Arrive),
        }
    }

    fn happen(&mut self, job: Job, by: Option<usize>, now: u64) {
        match job {
            Job::Connect(client) => {
                let index = self.connect(now);
                self.connections[index].client = client;
                self.client(client, Job::Send(index), SEND_NS, by, now);
            }
            Job::Send(index) => self.send(index, by, now),
            Job::Serve(index) => self.answer(index, by, now),
            Job::Arrive => {
                let index = self.connect(now);
                self.send(index, by, now);
                let gap = self.work.exponential(SECOND as f64 / self.machine.clients.rate(now));
                self.cores.alarm(now + gap as u64, Job::Arrive);
            }
            Job::Publish => {
                if let Some(every) = self.method.publishes_every() {
                    self.books.publish(now);
                    self.cores.alarm(now + every, Job::Publish);
                }
            }
        }
    }

    fn client(&mut self, client: usize, job: Job, cpu_ns: u64, by: Option<usize>, now: u64) {
        self.cores.push(self.machine.workers + client, Burst { job, cpu_ns, sleep_ns: 0 }, by, now);
    }

    /// A connection is there; its worker is chosen.
    fn connect(&mut self, now: u64) -> usize {
        let index = self.connections.len();
        let (work_ns, short) = self.machine.work.draw(&mut self.work);
        let mut connection = Connection { at: now, work_ns, short, ..Connection::default() };
        if self.method != Method::Central {
            let seat = self.method.choose(&mut self.books, &self.peaks, &mut self.random, now);
            self.books.charge(seat, now);
            connection.worker = seat as usize;
            connection.conn.seat = seat;
            self.books.take(&mut connection.conn, Some(track::established(now)), now);
        }
        self.connections.push(connection);
        index
    }

    fn send(&mut self, index: usize, by: Option<usize>, now: u64) {
        let connection = &mut self.connections[index];
        // Who takes from the shared queue is not known yet, so the ideal has no slow worker.
        let slow = self.method != Method::Central && self.machine.slow == Some(connection.worker);
        let slowness = if slow { 10 } else { 1 };
        let work_ns = connection.work_ns * slowness;
        let (cpu_ns, sleep_ns) = if self.machine.sleeps { (0, work_ns) } else { (work_ns, 0) };
        let burst = Burst { job: Job::Serve(index), cpu_ns: cpu_ns + self.machine.connection_ns, sleep_ns };
        if self.method == Method::Central {
            return self.cores.share(burst, by, now);
        }
        let step = track::bytes_in(&connection.conn, now);
        self.books.take(&mut connection.conn, step, now);
        self.asked.woken += f64::from(u8::from(self.cores.is_asleep(connection.worker)));
        self.cores.push(connection.worker, burst, by, now);
    }

    fn answer(&mut self, index: usize, by: Option<usize>, now: u64) {
        let connection = &mut self.connections[index];
        if self.method != Method::Central {
            let step = track::bytes_out(&connection.conn, now);
            self.books.take(&mut connection.conn, step, now);
            let step = track::closing(&connection.conn, track::Closer::Client, now);
            self.books.take(&mut connection.conn, step, now);
            self.peaks[connection.worker].observe(now - connection.at, now);
        }
        self.answered += 1;
        if connection.short {
            self.asked.short_ns.push(now - connection.at);
        }
        if matches!(self.machine.clients, Clients::Closed(_)) {
            let client = self.connections[index].client;
            self.client(client, Job::Connect(client), CONNECT_NS, by, now);
        }
    }
}
