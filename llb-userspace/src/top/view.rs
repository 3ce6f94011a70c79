//! What is shown, and what of it a key or a message changes.

use std::collections::BTreeMap;

use super::{figures::Row, fleet::WatchedFleet, keys::Key, sort::Sort};
use crate::{
    control::{Request, Told},
    observe::status::Status,
};

/// Rows that a page of keys moves over.
const PAGE: usize = 10;

/// A command that waits for a yes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Question {
    pub text: String,
    fleet: String,
    verb: Request,
}

/// What has the keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Focus {
    #[default]
    Rows,
    Help,
    /// The filter is being typed.
    Filter,
    Question(Question),
}

/// What comes to pass.
#[derive(Debug)]
pub(super) enum Message {
    Key(Key),
    /// The terminal has another size now.
    Resized,
    /// The fleets that there are.
    Fleets(Vec<String>),
    Looked {
        fleet: String,
        looked: Box<Result<Status, String>>,
    },
    Told {
        fleet: String,
        told: Told,
    },
    /// How a command has ended.
    Ended(String),
}

/// What is to be done about it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    Quit,
    /// Look at another fleet.
    Watch(String),
    Command {
        fleet: String,
        verb: Request,
    },
}

/// What is shown.
#[derive(Debug, Default)]
pub(super) struct View {
    /// The names of all fleets.
    pub names: Vec<String>,
    /// The name of the one that is shown.
    pub shown: String,
    fleets: BTreeMap<String, WatchedFleet>,
    /// What is shown while that is to stay as it is.
    frozen: Option<Box<WatchedFleet>>,
    /// Slot and process of the row that is chosen.
    chosen: Option<(u32, Option<u32>)>,
    pub sort: Sort,
    pub filter: String,
    pub focus: Focus,
    /// Whether one worker is shown instead of all rows.
    pub in_detail: bool,
    /// How the last command has ended.
    pub said: Option<String>,
}

impl View {
    /// A view of the fleet of this name, of which nothing is known yet.
    pub(super) fn new(name: String) -> Self {
        View { names: vec![name.clone()], shown: name, ..View::default() }
    }

    /// The fleet that is shown; none if nothing is known of it.
    pub(super) fn fleet(&self) -> Option<&WatchedFleet> {
        self.frozen.as_deref().or_else(|| self.fleets.get(&self.shown))
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    /// The rows that pass the filter, in order.
    pub(super) fn rows(&self) -> Vec<&Row> {
        let all = self.fleet().map_or(&[][..], |fleet| &fleet.rows);
        let mut rows: Vec<&Row> = all.iter().filter(|row| passes(row, &self.filter)).collect();
        rows.sort_by(|a, b| self.sort.weight(b).total_cmp(&self.sort.weight(a)));
        rows
    }

    /// Which of the rows is chosen: the same process, or else the same slot, or else the first.
    pub(super) fn cursor(&self, rows: &[&Row]) -> usize {
        let Some((slot, pid)) = self.chosen else { return 0 };
        let same = rows.iter().position(|row| (row.slot, row.pid) == (slot, pid));
        same.or_else(|| rows.iter().position(|row| row.slot == slot)).unwrap_or(0)
    }

    /// Takes a message, and says what is to be done.
    pub(super) fn update(&mut self, message: Message) -> Option<Action> {
        match message {
            Message::Key(key) => return self.press(key),
            Message::Resized => {}
            Message::Fleets(names) => self.names = names,
            Message::Looked { fleet, looked } => self.fleets.entry(fleet).or_default().looked(*looked),
            Message::Told { fleet, told } => self.fleets.entry(fleet).or_default().told(told),
            Message::Ended(said) => self.said = Some(said),
        }
        None
    }

    fn press(&mut self, key: Key) -> Option<Action> {
        if key == Key::Interrupt {
            return Some(Action::Quit);
        }
        match std::mem::take(&mut self.focus) {
            Focus::Rows => return self.press_in_rows(key),
            // Any key leads back.
            Focus::Help => {}
            Focus::Filter => self.press_in_filter(key),
            Focus::Question(Question { fleet, verb, .. }) if matches!(key, Key::Char('y' | 'Y')) => {
                self.said = None;
                return Some(Action::Command { fleet, verb });
            }
            Focus::Question(_) => self.said = Some("not done".into()),
        }
        None
    }

    fn press_in_filter(&mut self, key: Key) {
        self.focus = Focus::Filter;
        match key {
            Key::Char(character) => self.filter.push(character),
            Key::Backspace => drop(self.filter.pop()),
            Key::Enter => self.focus = Focus::Rows,
            Key::Escape => {
                self.filter.clear();
                self.focus = Focus::Rows;
            }
            _ => {}
        }
    }

    fn press_in_rows(&mut self, key: Key) -> Option<Action> {
        match key {
            Key::Char('q') => return Some(Action::Quit),
            Key::Char('?') => self.focus = Focus::Help,
            Key::Char('/') => (self.focus, self.in_detail) = (Focus::Filter, false),
            Key::Char('s') => self.sort = self.sort.next(),
            Key::Char('f' | ' ') => self.freeze_or_go_on(),
            Key::Char('j') | Key::Down => self.choose(|at, _| at + 1),
            Key::Char('k') | Key::Up => self.choose(|at, _| at.saturating_sub(1)),
            Key::PageDown => self.choose(|at, _| at + PAGE),
            Key::PageUp => self.choose(|at, _| at.saturating_sub(PAGE)),
            Key::Char('g') | Key::Home => self.choose(|_, _| 0),
            Key::Char('G') | Key::End => self.choose(|_, rows| rows),
            Key::Enter => self.in_detail = !self.rows().is_empty(),
            Key::Escape if self.in_detail => self.in_detail = false,
            Key::Escape => self.filter.clear(),
            Key::Tab => return self.switch(1),
            Key::BackTab => return self.switch(self.names.len().saturating_sub(1)),
            Key::Char('r') => self.ask_to_reload(),
            Key::Char('d') => self.ask_of_slot("Drain", "and start none in its place", |slot| Request::Drain { slot }),
            Key::Char('x') => self.ask_of_slot("Restart", "", |slot| Request::Restart { slot }),
            Key::Char(_) | Key::Backspace | Key::Interrupt => {}
        }
        None
    }

    fn freeze_or_go_on(&mut self) {
        self.frozen = match self.frozen.take() {
            Some(_) => None,
            None => self.fleet().cloned().map(Box::new),
        };
    }

    fn choose(&mut self, to: impl Fn(usize, usize) -> usize) {
        let rows = self.rows();
        let at = to(self.cursor(&rows), rows.len()).min(rows.len().saturating_sub(1));
        self.chosen = rows.get(at).map(|row| (row.slot, row.pid));
    }

    /// To the fleet so many names further.
    fn switch(&mut self, by: usize) -> Option<Action> {
        let at = self.names.iter().position(|name| *name == self.shown).unwrap_or(self.names.len());
        let next = self.names.get((at + by) % self.names.len().max(1)).or(self.names.first())?.clone();
        if next == self.shown {
            return None;
        }
        (self.frozen, self.chosen, self.in_detail, self.said) = (None, None, false, None);
        self.shown.clone_from(&next);
        Some(Action::Watch(next))
    }

    fn ask_to_reload(&mut self) {
        let workers = self.fleet().and_then(WatchedFleet::status).map_or(0, |status| status.slots.len());
        let text = format!("Reload {}: replace all {workers} workers?", self.shown);
        let verb = Request::Reload { rolling: false, max_surge: None, canary: None, watch_ms: None };
        self.focus = Focus::Question(Question { text, fleet: self.shown.clone(), verb });
    }

    fn ask_of_slot(&mut self, what: &str, how: &str, verb: fn(u32) -> Request) {
        let rows = self.rows();
        let Some(row) = rows.get(self.cursor(&rows)) else { return };
        let (slot, pid) = (row.slot, row.pid.map_or_else(String::new, |pid| format!(" (pid {pid})")));
        let text = format!("{what} slot {slot}{pid} of {} {how}", self.shown);
        let text = format!("{}?", text.trim_end());
        self.focus = Focus::Question(Question { text, fleet: self.shown.clone(), verb: verb(slot) });
    }
}

fn passes(row: &Row, filter: &str) -> bool {
    let pid = row.pid.map(|pid| pid.to_string()).unwrap_or_default();
    [&row.slot.to_string(), &pid, &row.state].iter().any(|text| text.contains(filter))
}
