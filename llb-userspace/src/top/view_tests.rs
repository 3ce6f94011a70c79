//! What is shown, by what has come.

use ratatui::{Terminal, backend::TestBackend, style::Modifier};

use super::{
    draw::draw,
    keys::Key,
    once::text,
    testing::{event, status, worker},
    theme::Theme,
    view::{Action, Message, View},
};
use crate::{control::Told, observe::status::Status};

const PLAIN: Theme = Theme { is_colored: false, has_blocks: true };

/// Three workers, of which the one in slot 1 has all the work.
fn fleet(uptime_s: f64) -> Status {
    let mut status = status("web", uptime_s, [worker(0, 100), worker(1, 101), worker(2, 102)]);
    status.workers[1].in_flight = Some(4);
    status.workers[1].chosen = 10 * uptime_s as u64;
    status.workers[1].cpu_s = Some(uptime_s / 2.0);
    status.workers[2].state = "hung".into();
    status.connections = 10 * uptime_s as u64;
    status
}

fn look(view: &mut View, name: &str, looked: Result<Status, String>) {
    assert_eq!(view.update(Message::Looked { fleet: name.into(), looked: Box::new(looked) }), None);
}

fn seen() -> View {
    let mut view = View::new("web".into());
    look(&mut view, "web", Ok(fleet(1.0)));
    look(&mut view, "web", Ok(fleet(2.0)));
    for (seq, kind) in [(1, "spawned"), (2, "ready"), (3, "hung")] {
        let told = Told::Event(event(seq, 2, kind, "as it is"));
        assert_eq!(view.update(Message::Told { fleet: "web".into(), told }), None);
    }
    view
}

/// Presses keys, and returns what the last one asks for.
fn press(view: &mut View, keys: &str) -> Option<Action> {
    keys.chars().fold(None, |_, key| view.update(Message::Key(Key::Char(key))))
}

fn key(view: &mut View, key: Key) -> Option<Action> {
    view.update(Message::Key(key))
}

fn drawn(view: &View, width: u16, height: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(view, PLAIN, frame.area(), frame.buffer_mut())).unwrap();
    terminal
}

fn shown(view: &View, width: u16, height: u16) -> String {
    text(drawn(view, width, height).backend().buffer())
}

/// Slots of the rows, from the top.
fn order(view: &View) -> Vec<u32> {
    view.rows().iter().map(|row| row.slot).collect()
}

#[test]
fn a_screen_has_head_rows_events_and_keys() {
    let frame = "\
llb top: web  generation 1  up 2s  pid 99  least-latency  127.0.0.1:8080
2 of 3 serve  10 conn/s  in flight 4  waiting 0  p99 - ms  cpu 50.0%  rss 30M  failed 0  restarts 0
▾slot     pid state     cpu%   rss  open flight wait share p50 ms p99 ms failed  5xx  rst load
    0     100 serving    0.0   10M     0      0    0    0%      -      -      0    0    0
    1     101 serving   50.0   10M     0      4    0  100%      -      -      0    0    0 ████
    2     102 hung       0.0   10M     0      0    0    0%      -      -      0    0    0
events
01:46:40  slot 2  spawned     as it is (pid 102)
01:46:40  slot 2  ready       as it is (pid 102)
01:46:40  slot 2  hung        as it is (pid 102)

? help  q quit  s sort  / filter  f freeze  Enter detail  r reload  d drain  x restart  Tab fleet
";
    assert_eq!(shown(&seen(), 100, 12), frame);
}

#[test]
fn no_size_is_too_small() {
    let mut view = seen();
    for keys in ["", "?", "x/", "r"] {
        press(&mut view, keys);
        for (width, height) in [(1, 1), (3, 2), (10, 3), (20, 5), (60, 8), (300, 100)] {
            shown(&view, width, height);
        }
    }
    key(&mut view, Key::Escape);
    key(&mut view, Key::Enter);
    assert!(view.in_detail);
    for (width, height) in [(1, 1), (3, 2), (10, 3), (20, 5), (60, 8), (300, 100)] {
        shown(&view, width, height);
    }
}

#[test]
fn the_chosen_row_stays_chosen_when_others_move() {
    let mut view = seen();
    press(&mut view, "jj");
    let chosen = |view: &View| view.rows()[view.cursor(&view.rows())].slot;
    assert_eq!(chosen(&view), 2);
    press(&mut view, "s");
    assert_eq!((order(&view), chosen(&view)), (vec![1, 0, 2], 2));
    let terminal = drawn(&view, 80, 16);
    let is_reversed = |y| terminal.backend().buffer()[(0, y)].modifier.contains(Modifier::REVERSED);
    assert_eq!([3, 4, 5].map(is_reversed), [false, false, true]);
    // Its worker is replaced: the slot stays chosen.
    let mut next = fleet(3.0);
    next.workers[2].pid = 202;
    look(&mut view, "web", Ok(next));
    assert_eq!(chosen(&view), 2);
    press(&mut view, "g");
    assert_eq!(chosen(&view), 1);
    press(&mut view, "Gjj");
    assert_eq!(chosen(&view), 2);
}

#[test]
fn many_rows_scroll_with_the_chosen_one() {
    let mut view = View::new("web".into());
    look(
        &mut view,
        "web",
        Ok(status("web", 1.0, std::array::from_fn::<_, 64, _>(|slot| worker(slot as u32, 1000 + slot as u32)))),
    );
    press(&mut view, "G");
    let shown = shown(&view, 80, 24);
    assert!(shown.contains(" 1063 ") && !shown.contains(" 1000 "), "{shown}");
}

#[test]
fn a_filter_hides_rows_until_it_is_taken_back() {
    let mut view = seen();
    press(&mut view, "/hu");
    assert_eq!(order(&view), [2]);
    assert!(shown(&view, 80, 16).contains("filter: hu_"));
    press(&mut view, "q");
    assert_eq!(order(&view), [] as [u32; 0]);
    key(&mut view, Key::Backspace);
    key(&mut view, Key::Enter);
    assert!(shown(&view, 80, 16).contains("filter: hu (Esc: all)"));
    key(&mut view, Key::Escape);
    assert_eq!(order(&view), [0, 1, 2]);
}

#[test]
fn what_is_frozen_stays_as_it_was() {
    let mut view = seen();
    press(&mut view, "f");
    let before = shown(&view, 100, 16);
    assert!(before.contains("FROZEN"), "{before}");
    look(&mut view, "web", Ok(fleet(9.0)));
    assert_eq!(shown(&view, 100, 16), before);
    press(&mut view, " ");
    assert!(shown(&view, 100, 16).contains("up 9s"));
}

#[test]
fn a_command_is_asked_about_first() {
    let mut view = seen();
    assert_eq!(press(&mut view, "jx"), None);
    assert!(shown(&view, 80, 16).contains("Restart slot 1 (pid 101) of web? y: yes"));
    assert_eq!(press(&mut view, "n"), None);
    assert!(shown(&view, 80, 16).contains("not done"));
    let asked = [("xy", r#"{"cmd":"restart","slot":1}"#), ("dy", r#"{"cmd":"drain","slot":1}"#)];
    for (keys, expected) in asked {
        let Some(Action::Command { fleet, verb }) = press(&mut view, keys) else { panic!("{keys} does nothing") };
        assert_eq!((fleet.as_str(), serde_json::to_string(&verb).unwrap().as_str()), ("web", expected));
    }
    assert!(matches!(press(&mut view, "ry"), Some(Action::Command { .. })));
    assert_eq!(view.update(Message::Ended("generation 2 serves".into())), None);
    assert!(shown(&view, 80, 16).contains("generation 2 serves  ? help"));
    assert_eq!(press(&mut view, "q"), Some(Action::Quit));
}

#[test]
fn trouble_is_said_and_ends() {
    let mut view = seen();
    look(&mut view, "web", Err("no llb named web runs here".into()));
    let lost = shown(&view, 100, 16);
    assert!(lost.contains("no llb named web runs here; trying again every second") && lost.contains(" 101 "), "{lost}");
    look(&mut view, "web", Ok(fleet(3.0)));
    assert!(!shown(&view, 100, 16).contains("no llb"));
    let unknown = View::new("api".into());
    assert!(shown(&unknown, 100, 16).contains("asking"));
}

#[test]
fn tab_goes_round_the_fleets() {
    let mut view = seen();
    assert_eq!(key(&mut view, Key::Tab), None, "there is no other");
    view.update(Message::Fleets(vec!["api".into(), "mail".into(), "web".into()]));
    assert!(shown(&view, 100, 16).contains("web (3 of 3 fleets)"));
    let names = [Key::Tab, Key::Tab, Key::BackTab, Key::BackTab].map(|pressed| key(&mut view, pressed));
    assert_eq!(names, ["api", "mail", "api", "web"].map(|name| Some(Action::Watch(name.into()))));
    // One that has ended is left, too.
    view.update(Message::Fleets(vec!["api".into()]));
    assert_eq!(key(&mut view, Key::Tab), Some(Action::Watch("api".into())));
    view.update(Message::Fleets(Vec::new()));
    assert_eq!(key(&mut view, Key::Tab), None);
}

#[test]
fn a_worker_is_shown_with_latencies_and_its_own_events() {
    let mut view = seen();
    let mut next = fleet(3.0);
    next.workers[2].latency_histogram = Some(vec![(1_048.576, 3), (4_194.304, 9)]);
    look(&mut view, "web", Ok(next));
    view.update(Message::Told { fleet: "web".into(), told: Told::Event(event(4, 0, "ready", "of another")) });
    press(&mut view, "G");
    key(&mut view, Key::Enter);
    let detail = shown(&view, 100, 30);
    for words in [
        "slot 2, pid 102: hung",
        "generation 1",
        "<     1.05 ms      3 ██",
        "<     4.19 ms      9 ██████",
        "hung        as it is",
    ] {
        assert!(detail.contains(words), "{words:?} is not in {detail}");
    }
    assert!(!detail.contains("of another"), "{detail}");
    key(&mut view, Key::Escape);
    assert!(shown(&view, 100, 30).contains("of another"));
}
