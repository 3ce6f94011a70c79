//! One frame, as plain text.

use std::{
    env,
    io::{self, IsTerminal},
    thread,
};

use ratatui::{buffer::Buffer, crossterm::terminal};

use super::{
    draw,
    sources::LOOK_EVERY,
    theme::Theme,
    view::{Message, View},
};
use crate::control::{Client, ControlError};

/// Columns of a reader that is no terminal and has not said how many it has: enough for all there is.
const WIDTH: u16 = 132;

/// What the live view shows after the second look.
pub(crate) fn frame(fleet: &Client) -> Result<String, ControlError> {
    let mut view = View::new(fleet.name.clone());
    let mut look = || -> Result<(), ControlError> {
        let looked = Box::new(Ok(fleet.status()?));
        view.update(Message::Looked { fleet: fleet.name.clone(), looked });
        Ok(())
    };
    look()?;
    // Rates are of the time between two looks.
    thread::sleep(LOOK_EVERY);
    look()?;
    for told in fleet.events(false)? {
        view.update(Message::Told { fleet: fleet.name.clone(), told: told? });
    }
    let theme = Theme { is_colored: false, ..Theme::of(|name| env::var_os(name)) };
    Ok(text(&draw::frame(&view, theme, width())))
}

fn width() -> u16 {
    let of_terminal = || terminal::size().ok().filter(|_| io::stdout().is_terminal()).map(|(width, _)| width);
    let given = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    given.or_else(of_terminal).filter(|width| *width > 0).unwrap_or(WIDTH)
}

/// The lines, without the blanks at their ends.
pub(super) fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width).max(1);
    let line = |cells: &[ratatui::buffer::Cell]| cells.iter().map(ratatui::buffer::Cell::symbol).collect::<String>();
    buffer.content.chunks(width).map(|cells| line(cells).trim_end().to_owned() + "\n").collect()
}
