//! Random orders of events, and what must hold in every one of them.

use proptest::prelude::*;

use super::{
    world::{Happening, World},
    *,
};

const READY_WHEN: [ReadyWhen; 4] = [ReadyWhen::Accepting, ReadyWhen::Listening, ReadyWhen::Ready, ReadyWhen::Started];

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        12 => (prop_oneof![0_u64..20, 0_u64..2_000, 0_u64..40_000], any::<u64>())
            .prop_map(|(ms, seats)| Happening::Tick(ms, seats)),
        12 => (any::<usize>(), 80_u16..83).prop_map(|(worker, port)| Happening::Listens(worker, port)),
        4 => any::<usize>().prop_map(Happening::Closes),
        6 => any::<usize>().prop_map(Happening::Accepts),
        3 => any::<usize>().prop_map(Happening::Speaks),
        4 => any::<usize>().prop_map(Happening::SaysReady),
        4 => any::<usize>().prop_map(Happening::AsksToLeave),
        3 => any::<usize>().prop_map(Happening::HangsUp),
        3 => any::<usize>().prop_map(Happening::Exits),
        2 => any::<usize>().prop_map(Happening::ExitsWell),
        2 => any::<usize>().prop_map(Happening::Recycles),
    ]
}

/// With an operator.
fn operated() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => happening(),
        1 => any::<bool>().prop_map(Happening::Judges),
        1 => (0_u8..7, 0_u32..5).prop_map(|(what, number)| Happening::Command(what, number)),
    ]
}

/// With masters that die.
fn bereft() -> impl Strategy<Value = Happening> {
    prop_oneof![
        20 => operated(),
        1 => (1_u32..4).prop_map(Happening::MasterDies),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_fleet_is_in_order_and_ends(
        slots in 1_u32..4,
        ready_when in prop::sample::select(READY_WHEN.to_vec()),
        begin_up in any::<bool>(),
        happenings in prop_oneof![
            prop::collection::vec(happening(), 0..120),
            prop::collection::vec(operated(), 0..240),
            prop::collection::vec(bereft(), 0..240),
        ],
        stop in prop::option::weighted(0.3, any::<prop::sample::Index>()),
    ) {
        let mut world = World::new(Rules { slots, ready_when, ..RULES });
        world.happen(&Happening::Tick(0, 0));
        // Half of the runs are of a fleet that has come up: few come up by chance.
        for worker in 0..if begin_up { slots as usize } else { 0 } {
            world.happen(&Happening::Listens(worker, 80));
            world.happen(&Happening::SaysReady(worker));
            world.happen(&Happening::Accepts(worker));
        }
        for (index, happening) in happenings.iter().enumerate() {
            if stop.is_some_and(|stop| stop.index(happenings.len()) == index) {
                world.happen(&Happening::Stop);
            }
            world.happen(happening);
        }
        world.bring_down();
    }

    /// A reload that is left in peace comes to its end: by success, or by going back.
    #[test]
    fn a_reload_ends(
        happenings in prop::collection::vec(operated(), 0..120),
        rolling in any::<bool>(),
        healthy in any::<bool>(),
    ) {
        let mut world = World::new(Rules { slots: 3, ..RULES });
        world.happen(&Happening::Tick(0, 0));
        (0..3).for_each(|worker| world.happen(&Happening::Listens(worker, 80)));
        happenings.iter().for_each(|happening| world.happen(happening));
        world.happen(&Happening::Command(u8::from(rolling), 1));
        for _ in 0..100 {
            if world.supervisor.reloading().is_none() {
                break;
            }
            world.happen(&Happening::Tick(5_000, u64::MAX));
            world.happen(&Happening::Judges(healthy));
            let states = world.states();
            for (index, (id, state)) in states.iter().enumerate() {
                match state {
                    State::Starting { .. } if healthy => world.happen(&Happening::Listens(index, 80)),
                    State::Stopping { .. } | State::Killed => {
                        let effects = world.exit(*id);
                        world.obey(effects);
                        break;
                    }
                    _ => {}
                }
            }
        }
        prop_assert_eq!(world.supervisor.reloading(), None, "{:?}", world.supervisor);
        world.bring_down();
    }

    #[test]
    fn a_fleet_that_is_left_in_peace_comes_up_whatever_came_before(
        happenings in prop::collection::vec(happening(), 0..60),
    ) {
        let mut world = World::new(ONE_SLOT);
        world.happen(&Happening::Tick(0, 0));
        world.happen(&Happening::Listens(0, 80));
        happenings.iter().for_each(|happening| world.happen(happening));
        // The longest wait between two starts, then an end to all that is on its way out, and once more.
        for _ in 0..4 {
            world.happen(&Happening::Tick(30_000, u64::MAX));
            let leaving: Vec<WorkerId> =
                world.supervisor.workers().filter(|worker| !worker.is_current()).map(|worker| worker.id).collect();
            for id in leaving {
                let effects = world.exit(id);
                world.obey(effects);
            }
            world.happen(&Happening::Tick(30_000 - 1, u64::MAX));
            world.happen(&Happening::Listens(usize::MAX, 80));
            let newest = world.alive.len().saturating_sub(1);
            world.happen(&Happening::Listens(newest, 80));
        }
        prop_assert!(world.supervisor.workers().any(|worker| worker.state == State::Serving), "{:?}", world.supervisor);
    }
}
