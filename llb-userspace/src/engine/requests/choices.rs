//! Has the selector note its choices for a while, and answers with them: [`crate::why`].

use std::{collections::BTreeMap, io, rc::Rc, time::Duration};

use tokio::{
    sync::{Mutex, mpsc},
    time::{MissedTickBehavior, interval},
};

use super::ask::{ask, refused};
use crate::{
    control::AnswerWriter,
    engine::{core::Core, inbox::Message},
    kernel::{Choices, Counters, Stage},
    sys::clock::now,
    why::{SeatedWorker, Seen, explain},
};

/// How long the selector may note choices, and no longer, so that who mistypes does not keep it at work for a day.
const AT_MOST: Duration = Duration::from_secs(60);

/// Between two reads: the buffer holds what is noted meanwhile.
const READ_EVERY: Duration = Duration::from_millis(10);

/// For each sixteen workers that a choice has: one is noted in this time, so that neither the selector nor llb is ever
/// busy with it.
const NOTE_EVERY: Duration = Duration::from_millis(1);
const WORKERS_A_NOTE: u32 = 16;

/// No more than this are shown, and fewer of more workers: so many come in a second, and what they take to write, some
/// milliseconds, keeps llb from all else.
const MOST: u32 = 1_000;

/// Where the choices come; one asks at a time.
pub(in crate::engine) type Asking = Rc<Mutex<Choices>>;

/// Who sits where, and what is where.
#[derive(Debug)]
pub(in crate::engine) struct Seating {
    seats: BTreeMap<u32, SeatedWorker>,
    addresses: BTreeMap<u32, String>,
    made: u64,
    name: String,
    policy: &'static str,
}

impl Core {
    pub(in crate::engine) fn seating(&self, groups: &[u32]) -> Seating {
        let pid = |id| self.running.get(&id).map_or(0, |running| running.pid.as_raw().cast_unsigned());
        let seats = self.supervisor.workers().flat_map(|worker| {
            worker.seats().map(move |seat| (seat.0, SeatedWorker { slot: worker.slot.0, pid: pid(worker.id) }))
        });
        let steering = self.updater.steering();
        let address = |group: &u32| Some((*group, steering.group_address(*group)?.to_string()));
        Seating {
            seats: seats.collect(),
            addresses: groups.iter().filter_map(address).collect(),
            made: steering.counters().as_ref().map_or(0, made),
            name: self.config.name.to_string(),
            policy: self.config.policy.name(),
        }
    }
}

fn made(counters: &Counters) -> u64 {
    counters.total(Stage::Select) + counters.total(Stage::Migrate)
}

/// Tells of the choices of a while, in one line.
pub(in crate::engine) async fn answer(
    inbox: &mpsc::Sender<Message>,
    asking: &Asking,
    time: Duration,
    lines: &mut AnswerWriter<'_>,
) -> io::Result<()> {
    if time > AT_MOST {
        return lines.write(&refused(&format!("choices are noted for {} s at the most", AT_MOST.as_secs()))).await;
    }
    let Ok(mut choices) = asking.try_lock() else {
        return lines.write(&refused("somebody else is asking")).await;
    };
    let before = seating(inbox, Vec::new()).await?;
    let began = now();
    let until = began.after(time);
    let size = (before.seats.len() as u32).div_ceil(WORKERS_A_NOTE).max(1);
    let most = (MOST / size) as usize;
    let mut noting = match choices.note(NOTE_EVERY * size, until) {
        Ok(noting) => noting,
        Err(error) => return lines.write(&refused(&error.to_string())).await,
    };
    let mut told = Vec::new();
    let mut tick = interval(READ_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_over = false;
    while !is_over && told.len() < most {
        tick.tick().await;
        // What has been noted until now is read once more.
        is_over = now() >= until;
        let samples = noting.read();
        if samples.is_empty() {
            continue;
        }
        let seating = seating(inbox, samples.iter().map(|sample| sample.group).collect()).await?;
        told.extend(samples.iter().map(|sample| {
            let address = seating.addresses.get(&sample.group).cloned();
            explain(sample, began.0, |seat| seating.seats.get(&seat).copied(), address)
        }));
    }
    drop(noting);
    told.truncate(most);
    let Seating { made, name, policy, .. } = seating(inbox, Vec::new()).await?;
    let for_ms = now().since(began) as f64 / 1e6;
    let seen = Seen { name, policy: policy.to_owned(), for_ms, made: made.saturating_sub(before.made), choices: told };
    lines.write(&seen).await
}

async fn seating(inbox: &mpsc::Sender<Message>, groups: Vec<u32>) -> io::Result<Seating> {
    ask(inbox, |reply| Message::Seating { groups, reply }).await
}
