//! Keys, whatever terminal they come from.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// A key that means something somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Escape,
    Backspace,
    Tab,
    BackTab,
    /// Ctrl-C.
    Interrupt,
}

impl Key {
    /// What the terminal says; nothing for other keys.
    pub(super) fn of(event: KeyEvent) -> Option<Self> {
        if event.kind == KeyEventKind::Release {
            return None;
        }
        if event.modifiers.contains(KeyModifiers::CONTROL) {
            return (event.code == KeyCode::Char('c')).then_some(Key::Interrupt);
        }
        Some(match event.code {
            KeyCode::Char(character) => Key::Char(character),
            KeyCode::Up => Key::Up,
            KeyCode::Down => Key::Down,
            KeyCode::PageUp => Key::PageUp,
            KeyCode::PageDown => Key::PageDown,
            KeyCode::Home => Key::Home,
            KeyCode::End => Key::End,
            KeyCode::Enter => Key::Enter,
            KeyCode::Esc => Key::Escape,
            KeyCode::Backspace => Key::Backspace,
            KeyCode::Tab => Key::Tab,
            KeyCode::BackTab => Key::BackTab,
            _ => return None,
        })
    }
}

/// What the keys do, for the help.
pub(super) const HELP: [(&str, &str); 14] = [
    ("j k, arrows", "move; g and G, Home and End: to the first and the last row"),
    ("Enter", "one worker: its latencies, its events; Esc: back"),
    ("s", "sort by the next column"),
    ("/", "show only rows whose slot, pid or state has a text; Esc: all"),
    ("f, space", "freeze what is shown, and go on"),
    ("Tab", "the next fleet"),
    ("r", "reload the fleet; asks first"),
    ("d", "drain the slot's worker, and start none in its place; asks first"),
    ("x", "restart: replace the slot's worker, or fill an empty slot; asks first"),
    ("?", "this help"),
    ("q, Ctrl-C", "quit"),
    ("", ""),
    ("cpu%, conn/s", "of the last second; cpu% of one core"),
    ("share, p50, p99", "of the connections and the answers of the last ten seconds"),
];
