//! Goes on with the fleet that a master which has died has left: its programs, its maps, its workers.
//!
//! Nobody's word is taken alone. The record says which process is which worker, and the fleet's cgroup has to agree; the
//! maps say which listener is where, and the workers' descriptors have to agree.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt,
};

use llb_common::abi::{BUCKETS, MAX_SEATS, Seat as SeatBooks};

use super::leftover;
use crate::{
    config::Config,
    fleet::{
        CgroupError, FleetCgroup, Listener, RuntimeDir, WorkerCgroup, find,
        takeover::{Obstacle, Record, SeatRecord, Stage, Survivor, Terms, WorkerRecord},
        usage,
    },
    kernel::{Pins, Steering},
    model::{Address, Seat},
    registry::is_udp,
    sys::socket,
    updater::Baseline,
};

/// What is left of a fleet, and can be gone on with.
pub(in crate::engine) struct Left {
    pub cgroup: FleetCgroup,
    pub steering: Steering,
    pub pins: Pins,
    pub record: Record,
    pub workers: Vec<Found>,
    /// Workers that have ended since.
    pub ended: Vec<EndedWorker>,
    /// Cookies of listeners of which it cannot be seen whether they are no more.
    pub spared: Vec<u64>,
}

/// A worker that lives.
pub(in crate::engine) struct Found {
    pub survivor: Survivor,
    /// Its listeners; with a seat those that are in their group.
    pub listeners: Vec<Listener>,
    /// Its UDP sockets, likewise.
    pub udp: Vec<Listener>,
    /// The seats that it holds, and what they had counted before it took them.
    pub seats: BTreeMap<Seat, Baseline>,
}

/// A worker that has ended while no master was there.
pub(in crate::engine) struct EndedWorker {
    pub record: WorkerRecord,
    /// The seats that it held, and what they had counted before it took them.
    pub seats: Vec<(Seat, Baseline)>,
    pub cpu_us: u64,
}

/// Why a fleet is not gone on with.
pub(in crate::engine) enum NotAdopted {
    /// It is to be cleared, and another one to be started.
    Obstacle(Obstacle),
    /// Its master lives.
    Alive(CgroupError),
}

impl From<Obstacle> for NotAdopted {
    fn from(obstacle: Obstacle) -> Self {
        NotAdopted::Obstacle(obstacle)
    }
}

/// Looks for a fleet that an earlier master has left, and takes it over. Nothing if there is none, or nobody lives.
pub(in crate::engine) fn take_over(
    config: &Config,
    runtime: &RuntimeDir,
    terms: &Terms,
) -> Result<Option<Left>, NotAdopted> {
    let Some(record) = Record::read(runtime.path(), terms)? else { return Ok(None) };
    let id = fs::metadata(&record.cgroup).map(|found| found.ino());
    if !id.is_ok_and(|id| id == record.cgroup_id) {
        return Err(Obstacle::NoCgroup(record.cgroup).into());
    }
    // Whose name they bear has been a fleet of ours, whatever else the record says.
    let pins = Pins::find(runtime.path(), &leftover::key(&config.name, record.cgroup_id)).ok_or(Obstacle::NoPins)?;
    let failed = |error: anyhow::Error| NotAdopted::Obstacle(Obstacle::Kernel(error));
    // Before the cgroups of those that have ended go.
    let spent = record.workers.iter().map(|worker| usage::cpu_us(&record.cgroup.join(&worker.cgroup)).unwrap_or(0));
    let spent: Vec<u64> = spent.collect();
    let cgroup = FleetCgroup::adopt(&config.name, &record.cgroup, record.worker_level);
    let cgroup = cgroup.map_err(|error| match error {
        CgroupError::Alive { .. } => NotAdopted::Alive(error),
        other => failed(other.into()),
    })?;
    let (survivors, remains) = record.survivors(&cgroup).map_err(|error| failed(error.into()))?;
    if survivors.is_empty() {
        return Ok(None);
    }
    let mut steering = Steering::reopen(&pins, config.tracking.keeps_books()).map_err(|error| failed(error.into()))?;
    let ended = ended(&record, &spent, &survivors);
    for dead in remains {
        reap(dead);
    }
    // The events up to here have happened, and what they did is found below. Later ones are handled as usual.
    steering.discard_events();
    let (workers, spared) = locate_listeners(&steering, survivors).map_err(failed)?;
    Ok(Some(Left { cgroup, steering, pins, record, workers, ended, spared }))
}

/// Those that were written down and do not live; `spent` is the CPU time of each that was, in µs.
fn ended(record: &Record, spent: &[u64], survivors: &[Survivor]) -> Vec<EndedWorker> {
    let supervisor = |worker: &WorkerRecord| survivors.iter().any(|survivor| survivor.record.cgroup == worker.cgroup);
    let dead = record.workers.iter().zip(spent);
    let dead = dead.filter(|(worker, _)| !supervisor(worker) && (worker.slot as usize) < MAX_SEATS);
    dead.map(|(worker, spent)| {
        let seats = worker.seats.iter().filter(|seat| (seat.seat as usize) < MAX_SEATS);
        EndedWorker {
            record: worker.clone(),
            seats: seats.map(|recorded| (Seat(recorded.seat), baseline(recorded))).collect(),
            cpu_us: *spent,
        }
    })
    .collect()
}

/// The first process of a worker has ended while nobody looked: what else it was ends, too.
fn reap(dead: WorkerCgroup) {
    if let Err(error) = dead.clear() {
        tracing::error!(%error, "cannot clear what a dead worker has left");
    }
}

/// Finds the workers' listeners, and where they are by the maps.
fn locate_listeners(steering: &Steering, survivors: Vec<Survivor>) -> anyhow::Result<(Vec<Found>, Vec<u64>)> {
    let (mut workers, mut spared) = (Vec::new(), Vec::new());
    let mut taken: BTreeSet<Seat> = BTreeSet::new();
    let mut barred = Vec::new();
    for survivor in survivors {
        let (mut listeners, mut udp, mut seats) = (Vec::new(), Vec::new(), BTreeMap::new());
        let processes = survivor.cgroup.processes()?;
        let is_barred = find::is_barred(&processes);
        if is_barred {
            barred.push(survivor.record.slot);
            (listeners, udp) = remembered(steering, &survivor.record, &mut spared);
        }
        let found = if is_barred { Vec::new() } else { find::listeners(&processes) };
        for (address, socket) in found {
            if steering.owner_of(&socket)? != Some(survivor.cgroup.id()) {
                continue;
            }
            let cookie = socket::cookie(&socket)?;
            let known = steering.held().sockets.get(&cookie).filter(|known| known.key.0 == address);
            let seat = known.and_then(|known| known.seat).filter(|seat| !taken.contains(seat));
            seats.extend(seat.map(|seat| (seat, Baseline::default())));
            let has_flows = socket::is_udp(&socket)?;
            let keeps_seat = match survivor.record.stage {
                Stage::Serving => steering.held().is_member(cookie),
                // Its flows go on there.
                Stage::Draining | Stage::Stopping => has_flows,
                Stage::Starting => false,
            };
            let sockets = if has_flows { &mut udp } else { &mut listeners };
            sockets.push(Listener { seat: seat.filter(|_| keeps_seat), ..Listener::new(cookie, address) });
        }
        dedup(&mut listeners);
        dedup(&mut udp);
        taken.extend(seats.keys());
        workers.push(Found { survivor, listeners, udp, seats });
    }
    // A seat may be held without a listener on it, but not one that is another's.
    for Found { survivor, seats, .. } in &mut workers {
        for recorded in survivor.record.seats.iter().filter(|recorded| (recorded.seat as usize) < MAX_SEATS) {
            let seat = Seat(recorded.seat);
            if seats.contains_key(&seat) || taken.insert(seat) {
                seats.insert(seat, baseline(recorded));
            }
        }
    }
    if !barred.is_empty() {
        tracing::warn!(
            slots = ?barred,
            "workers that were taken over cannot be looked into (kernel.yama.ptrace_scope, or llb has no CAP_SYS_PTRACE): they are \
             steered as before, but what else they may come to listen on is not, and connections that wait for one that \
             hangs are not moved; a reload makes workers for which all of that holds"
        );
    }
    Ok((workers, spared))
}

/// The listeners that were in their groups on a worker's seats, by the maps alone; and all that are in none may still be there.
fn remembered(steering: &Steering, record: &WorkerRecord, spared: &mut Vec<u64>) -> (Vec<Listener>, Vec<Listener>) {
    let (mut listeners, mut udp) = (Vec::new(), Vec::new());
    let held = steering.held();
    for (cookie, known) in &held.sockets {
        let Some(seat) = known.seat.filter(|_| held.is_member(*cookie)) else {
            spared.push(*cookie);
            continue;
        };
        if record.stage == Stage::Serving && record.seats.iter().any(|recorded| recorded.seat == seat.0) {
            let sockets = if is_udp(&known.key) { &mut udp } else { &mut listeners };
            sockets.push(Listener { seat: Some(seat), ..Listener::new(*cookie, known.key.0) });
        }
    }
    (listeners, udp)
}

/// Two listeners of a worker on one address cannot have one seat: then the maps are those of a master that died in the
/// midst of a change, and the second one joins anew.
fn dedup(listeners: &mut [Listener]) {
    let mut places: BTreeSet<(Address, Seat)> = BTreeSet::new();
    for listener in listeners {
        listener.seat = listener.seat.filter(|seat| places.insert((listener.address, *seat)));
    }
}

/// What was written down of a seat.
fn baseline(recorded: &SeatRecord) -> Baseline {
    let mut books = [0; size_of::<SeatBooks>() / 8];
    let mut latencies = [0; BUCKETS];
    for (word, recorded) in books.iter_mut().zip(&recorded.books) {
        *word = *recorded;
    }
    for (count, recorded) in latencies.iter_mut().zip(&recorded.latencies) {
        *count = *recorded;
    }
    Baseline { books: bytemuck::must_cast(books), latencies }
}

/// What is to be written down of a seat.
pub(in crate::engine) fn record_of(seat: Seat, baseline: &Baseline) -> SeatRecord {
    let words: [u64; size_of::<SeatBooks>() / 8] = bytemuck::must_cast(baseline.books);
    let trimmed =
        |words: &[u64]| words[..words.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1)].to_vec();
    SeatRecord { seat: seat.0, books: trimmed(&words), latencies: trimmed(&baseline.latencies) }
}
