//! Whatever happens, and whatever fails meanwhile, the maps come to what they should hold; and at no time is a seat chosen from
//! whose socket is not at its place.

mod fake;

use std::{collections::BTreeSet, time::Duration};

use llb_common::abi::MAX_GROUPS;
use proptest::prelude::*;

use self::fake::Fake;
use super::*;
use crate::model::Instant;

#[derive(Clone, Debug)]
enum Happening {
    /// Worker, port, whether UDP.
    Listens(u64, u16, bool),
    Serves(u64),
    Aside(u64),
    Leaves(u64),
    Parts(u64),
    Closes(u64),
    Ends(u64),
    ListensAnew(u64),
    Withheld(u64),
    MasterDies,
    /// Milliseconds pass, and so many writes succeed until one fails.
    Passes(u64, Option<u32>),
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    use Happening::{Aside, Closes, Ends, Leaves, Listens, ListensAnew, MasterDies, Parts, Passes, Serves, Withheld};
    let (worker, cookie) = (0..6u64, 0..30u64);
    let one = prop_oneof![
        4 => (worker.clone(), 80..84u16, proptest::bool::weighted(0.2)).prop_map(|(w, p, u)| Listens(w, p, u)),
        6 => worker.clone().prop_map(Serves),
        1 => cookie.clone().prop_map(Aside),
        2 => worker.clone().prop_map(Leaves),
        1 => cookie.clone().prop_map(Parts),
        2 => cookie.clone().prop_map(Closes),
        1 => worker.clone().prop_map(Ends),
        1 => cookie.prop_map(ListensAnew),
        1 => (0..64u64).prop_map(Withheld),
        1 => Just(MasterDies),
        6 => (0..6_000u64, proptest::option::of(0..12u32)).prop_map(|(ms, fails)| Passes(ms, fails)),
    ];
    proptest::collection::vec(one, 1..80)
}

/// A registry with all that depends on it.
#[derive(Default)]
struct World {
    registry: Registry,
    held: Held,
    reconciler: Reconciler,
    maps: Fake,
    withheld: SeatSet,
    cookies: u64,
    now: Instant,
}

impl World {
    fn of(&self, worker: u64) -> Vec<Socket> {
        self.registry.sockets().filter(|socket| socket.worker == WorkerId(worker)).copied().collect()
    }

    fn set(&mut self, cookie: u64, state: State) {
        if let Some(socket) = self.registry.socket(cookie).copied().filter(|socket| socket.seat.is_some()) {
            self.registry.enter(Socket { state, ..socket });
        }
    }

    fn happens(&mut self, happening: &Happening) {
        match *happening {
            Happening::Listens(worker, port, udp) => {
                self.cookies += 1;
                let address = Address(([127, 0, 0, 1], port).into());
                let (cookie, worker) = (self.cookies, WorkerId(worker));
                self.registry.enter(Socket { cookie, address, udp, worker, seat: None, state: State::Expected });
            }
            Happening::Serves(worker) => {
                for socket in self.of(worker).into_iter().filter(|socket| socket.seat.is_none()) {
                    let is_taken = |seat: &Seat| {
                        let holder = self.registry.holders.get(seat);
                        let here = self
                            .registry
                            .sockets()
                            .any(|other| other.seat == Some(*seat) && other.address == socket.address);
                        holder.is_some_and(|holder| holder.worker.0 != worker) || here
                    };
                    let Some(seat) = (0..16).map(Seat).find(|seat| !is_taken(seat)) else { continue };
                    self.registry.hold(seat, WorkerId(worker), Slot(worker as u32));
                    self.registry.enter(Socket { seat: Some(seat), state: State::Joined, ..socket });
                }
            }
            Happening::Aside(cookie) => match self.registry.socket(cookie).map(|socket| socket.state) {
                Some(State::Joined) => self.set(cookie, State::Aside),
                Some(State::Aside) => self.set(cookie, State::Joined),
                _ => {}
            },
            Happening::Leaves(worker) => {
                self.of(worker).iter().for_each(|socket| self.set(socket.cookie, State::Draining))
            }
            Happening::Parts(cookie) => {
                if self.registry.socket(cookie).is_some_and(|socket| socket.state == State::Draining) {
                    self.set(cookie, State::Parted);
                }
            }
            Happening::Closes(cookie) => self.registry.remove(cookie),
            Happening::Ends(worker) => {
                self.of(worker).iter().for_each(|socket| self.registry.remove(socket.cookie));
                self.registry.holders.retain(|_, holder| holder.worker.0 != worker);
            }
            Happening::ListensAnew(cookie) => {
                if let Some(socket) = self.held.sockets.get_mut(&cookie) {
                    socket.known = false;
                }
            }
            Happening::Withheld(seats) => self.withheld[0] = seats,
            Happening::MasterDies => self.takes_over(),
            Happening::Passes(ms, fails) => {
                self.now = self.now.after(Duration::from_millis(ms));
                self.maps.fails_after = fails;
            }
        }
        self.reconcile();
    }

    /// The next master knows what it finds: what is chosen from stands at its place, and what else is at one is cleared.
    fn takes_over(&mut self) {
        let mut held = Held::default();
        for (key, index) in &self.maps.endpoints {
            let selected = &self.maps.groups[index];
            let known = self.maps.listeners.iter().filter(|(_, (group, _))| group == index);
            let mut members = Vec::new();
            for (cookie, (_, seat)) in known {
                let placed = seat.is_some_and(|seat| self.maps.places.get(&(*index, seat)) == Some(cookie));
                if let Some(seat) = seat.filter(|seat| placed && selected.contains(seat)) {
                    members.push(Member { seat, cookie: *cookie });
                }
                held.sockets.insert(*cookie, HeldSocket { key: *key, seat: *seat, known: true, placed });
            }
            members.sort_unstable_by_key(|member| member.seat);
            let selected = set::of(selected.iter().map(|seat| seat.0));
            held.groups.insert(*key, Group { index: *index, members, selected });
        }
        (self.held, self.reconciler) = (held, Reconciler::default());
    }

    fn reconcile(&mut self) -> Report {
        let desired = self.registry.desired(self.withheld);
        self.reconciler.run(&desired, &mut self.held, &mut self.maps, self.now)
    }

    /// What the maps hold is the function of the registry.
    fn check(&self) {
        let desired = self.registry.desired(self.withheld);
        let placed = |want: &&Want| want.placed;
        let places: BTreeSet<u64> = self.maps.places.values().copied().collect();
        assert_eq!(places, desired.sockets.values().filter(placed).map(|want| want.cookie).collect::<BTreeSet<_>>());
        for (key, index) in &self.maps.endpoints {
            let of_group = |want: &&Want| want.chosen && self.maps.listeners[&want.cookie].0 == *index;
            let members = desired.sockets.values().filter(of_group);
            let members: Vec<Member> =
                members.map(|want| Member { seat: want.seat.unwrap(), cookie: want.cookie }).collect();
            let takers = desired.takers(key, &members).into_iter().map(|member| member.seat).collect::<BTreeSet<_>>();
            assert_eq!(self.maps.groups[index], takers, "{key:?}");
        }
        for want in desired.sockets.values().filter(|want| want.placed) {
            assert_eq!(self.maps.listeners[&want.cookie].1, want.seat);
        }
        let known = self.maps.listeners.keys().all(|cookie| desired.sockets.contains_key(cookie));
        assert!(known, "sockets that are gone are forgotten");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn maps_follow_the_registry_whatever_fails(happenings in happenings()) {
        let mut world = World::default();
        for happening in &happenings {
            world.happens(happening);
        }
        world.maps.fails_after = None;
        // What has failed is tried again, and then what has gone is forgotten.
        for _ in 0..3 {
            world.now = world.now.after(Duration::from_secs(6));
            world.reconcile();
        }
        world.check();
        prop_assert_eq!(world.reconciler.pending().count(), 0);
        let writes = world.maps.writes;
        world.now = world.now.after(Duration::from_secs(6));
        world.reconcile();
        prop_assert_eq!(world.maps.writes, writes, "what is as it should be is not written again");
    }
}

fn socket(cookie: u64, port: u16, seat: u32) -> Socket {
    let address = Address(([127, 0, 0, 1], port).into());
    Socket { cookie, address, udp: false, worker: WorkerId(1), seat: Some(Seat(seat)), state: State::Joined }
}

#[test]
fn what_fails_is_shown_and_tried_again() {
    let mut world = World { maps: Fake { fails_after: Some(2), ..Fake::default() }, ..World::default() };
    world.registry.enter(socket(1, 80, 0));
    let report = world.reconcile();
    assert_eq!((report.entered.len(), report.failed.len()), (0, 1));
    let pending: Vec<(Object, u32, String)> =
        world.reconciler.pending().map(|(object, failed)| (object, failed.attempts, failed.error.clone())).collect();
    assert_eq!(pending, [(Object::Socket(1), 1, "no memory".into())]);
    world.now = world.now.after(Duration::from_millis(50));
    assert!(!world.reconciler.is_due(world.now), "not at once");
    assert_eq!(world.reconcile().failed.len(), 0);
    world.now = world.now.after(Duration::from_millis(50));
    assert!(world.reconciler.is_due(world.now));
    assert_eq!(world.reconcile().failed.len(), 1);
    world.now = world.now.after(Duration::from_millis(199));
    assert!(!world.reconciler.is_due(world.now), "each time after a longer while");
    world.now = world.now.after(Duration::from_millis(1));
    world.maps.fails_after = None;
    assert_eq!(world.reconcile().entered, [1]);
    assert_eq!(world.reconciler.pending().count(), 0);
    world.check();
}

#[test]
fn a_listener_enters_before_another_leaves() {
    let mut world = World::default();
    world.registry.enter(socket(1, 80, 0));
    world.reconcile();
    world.maps.told.clear();
    world.registry.enter(socket(2, 80, 1));
    world.registry.withdraw(1);
    world.reconcile();
    assert_eq!(world.maps.told, ["Know", "Place", "Select", "Clear"]);
    world.maps.told.clear();
    // Another socket in the same seat: the first goes before.
    world.registry.remove(2);
    world.registry.enter(socket(3, 80, 1));
    world.reconcile();
    assert_eq!(world.maps.told, ["Select", "Clear", "Know", "Place", "Select"]);
}

#[test]
fn more_groups_than_there_is_room_for_are_told() {
    let mut world = World::default();
    (0..=MAX_GROUPS as u16).for_each(|port| world.registry.enter(socket(1_000_001 + 7 * u64::from(port), port + 1, 0)));
    let report = world.reconcile();
    assert_eq!((report.entered.len(), report.failed.len()), (MAX_GROUPS, 1));
    assert!(report.failed[0].error.to_string().starts_with("no room"));
}
