//! Lines of cells, from the top down, as far as there is room.

use ratatui::{buffer::Buffer, layout::Rect, style::Style};

use super::{format, theme::Theme};
use crate::observe::event::Event;

/// Where the next line goes.
pub(super) struct Canvas<'a> {
    pub buffer: &'a mut Buffer,
    pub area: Rect,
    pub y: u16,
}

impl Canvas<'_> {
    /// Writes pieces of a line one after the other, as far as there is room.
    pub(super) fn line<'b>(&mut self, pieces: impl IntoIterator<Item = (&'b str, Style)>) {
        if self.y < self.area.bottom() {
            let mut x = self.area.x;
            for (text, style) in pieces {
                let room = usize::from(self.area.right().saturating_sub(x));
                (x, _) = self.buffer.set_stringn(x, self.y, text, room, style);
            }
            self.y += 1;
        }
    }

    /// Writes those of the parts that fit, from the first on, and none in part but the first.
    pub(super) fn parts(&mut self, parts: &[String], style: Style) {
        let mut text = String::new();
        for part in parts.iter().filter(|part| !part.is_empty()) {
            let longer = format!("{text}{}{part}", if text.is_empty() { "" } else { "  " });
            if !text.is_empty() && longer.chars().count() > usize::from(self.area.width) {
                break;
            }
            text = longer;
        }
        self.line([(text.as_str(), style)]);
    }

    /// Gives the whole line above a style.
    pub(super) fn restyle(&mut self, style: Style) {
        self.buffer.set_style(Rect { y: self.y - 1, height: 1, ..self.area }, style);
    }
}

/// The latest events, the last at the bottom.
pub(super) fn events<'a>(
    all: impl DoubleEndedIterator<Item = &'a Event>,
    missed: u64,
    theme: Theme,
    canvas: &mut Canvas<'_>,
    bottom: u16,
) {
    if canvas.y + 1 >= bottom {
        return;
    }
    let missed = if missed > 0 { format!(" ({missed} were too fast to be told)") } else { String::new() };
    canvas.line([(format!("events{missed}").as_str(), theme.head())]);
    canvas.restyle(theme.head());
    let mut latest: Vec<&Event> = all.rev().take(usize::from(bottom.saturating_sub(canvas.y))).collect();
    latest.reverse();
    for event in latest {
        let [when, what, why] = format::event(event);
        canvas.line([
            (when.as_str(), theme.quiet()),
            (what.as_str(), theme.state(&event.event)),
            (why.as_str(), Style::new()),
        ]);
    }
}
