//! What is shown, as cells.

use ratatui::{buffer::Buffer, layout::Rect, style::Style};

use super::{
    canvas::{Canvas, events},
    columns::{Column, fitting},
    detail,
    figures::{Row, Totals},
    fleet::WatchedFleet,
    format,
    keys::HELP,
    theme::Theme,
    view::{Focus, View},
};
use crate::observe::{age::age, status::Status};

/// Lines that the events get of a screen, at the least, if it has so many rows that they compete.
const EVENT_LINES: u16 = 6;

/// A worker with fewer requests than this is not under load, however idle the others are.
const SOME_LOAD: u64 = 8;

/// Draws it all.
pub(super) fn draw(view: &View, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut canvas = Canvas { buffer, area, y: area.y };
    head(view, theme, &mut canvas);
    let foot = area.bottom().saturating_sub(1);
    let body = foot.saturating_sub(canvas.y);
    if view.focus == Focus::Help {
        help(theme, &mut canvas);
    } else if let Some(fleet) = view.fleet() {
        let rows = view.rows();
        match rows.get(view.cursor(&rows)).filter(|_| view.in_detail) {
            Some(row) => detail::draw(fleet, row, theme, &mut canvas, foot),
            None => {
                let least = if body > 2 * EVENT_LINES { EVENT_LINES } else { 0 };
                let wanted = u16::try_from(rows.len()).unwrap_or(u16::MAX).saturating_add(1);
                let bottom = canvas.y + wanted.min(body - least);
                table(view, &rows, theme, &mut canvas, bottom);
                events(fleet.events.iter(), fleet.missed, theme, &mut canvas, foot);
            }
        }
    }
    if foot > area.y {
        canvas.y = foot;
        footer(view, theme, &mut canvas);
    }
}

/// One frame for a reader that is no terminal: all rows, some events and no keys.
pub(super) fn frame(view: &View, theme: Theme, width: u16) -> Buffer {
    let rows = view.rows();
    let fleet = view.fleet();
    let events_shown = fleet.map_or(0, |fleet| fleet.events.len().min(usize::from(2 * EVENT_LINES)));
    // Two lines at the head, those of the two titles, and one that parts them.
    let height = u16::try_from(rows.len() + events_shown).unwrap_or(u16::MAX).saturating_add(5);
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    let mut canvas = Canvas { buffer: &mut buffer, area, y: 0 };
    head(view, theme, &mut canvas);
    let bottom = canvas.y + rows.len() as u16 + 1;
    table(view, &rows, theme, &mut canvas, bottom);
    if let Some(fleet) = fleet {
        events(fleet.events.iter(), fleet.missed, theme, &mut canvas, height);
    }
    buffer
}

fn head(view: &View, theme: Theme, canvas: &mut Canvas<'_>) {
    let fleet = view.fleet();
    let mut parts = vec![format!("llb top: {}", view.shown)];
    if let Some(at) = view.names.iter().position(|name| *name == view.shown).filter(|_| view.names.len() > 1) {
        parts[0] += &format!(" ({} of {} fleets)", at + 1, view.names.len());
    }
    if view.is_frozen() {
        parts.push("FROZEN".into());
    }
    if let Some(status) = fleet.and_then(WatchedFleet::status) {
        parts.extend(about(status));
    }
    canvas.parts(&parts, theme.title());
    match fleet {
        Some(WatchedFleet { trouble: Some(trouble), .. }) => {
            canvas.line([(trouble.as_str(), theme.trouble()), ("; trying again every second", theme.trouble())]);
        }
        Some(fleet) => canvas.parts(&sums(&fleet.totals, fleet.status()), Style::new()),
        None => canvas.line([("asking ...", theme.quiet())]),
    }
}

fn about(status: &Status) -> Vec<String> {
    let tracking = if status.tracking == "full" { String::new() } else { format!(" (tracking {})", status.tracking) };
    let reloading = status.reloading.map_or_else(String::new, |next| format!(", reloading to {next}"));
    let addresses: Vec<&str> = status.groups.iter().map(|group| group.address.as_str()).collect();
    vec![
        format!("generation {}{reloading}", status.generation),
        format!("up {}", age(status.uptime_s)),
        format!("pid {}", status.pid),
        format!("{}{tracking}", status.policy),
        addresses.join(" "),
        status.canary.as_ref().map_or_else(String::new, |canary| format!("canary: {canary}")),
    ]
}

fn sums(totals: &Totals, status: Option<&Status>) -> Vec<String> {
    let slots = status.map_or(0, |status| status.slots.len());
    vec![
        format!("{} of {slots} serve", totals.serving),
        format!("{} conn/s", format::rate(totals.rate)),
        format!("in flight {}", format::count(totals.in_flight)),
        format!("waiting {}", format::count(totals.waiting)),
        format!("p99 {} ms", format::ms(totals.p99)),
        format!("cpu {}%", format::cpu(totals.cpu)),
        format!("rss {}", format::bytes(totals.memory)),
        format!("failed {}", format::count(totals.failed)),
        format!("restarts {}", totals.restarts),
        format!("open {}", format::count(totals.open)),
        format!("p50 {} ms", format::ms(totals.p50)),
        format!("5xx {}", format::count(totals.errors)),
    ]
}

fn table(view: &View, rows: &[&Row], theme: Theme, canvas: &mut Canvas<'_>, bottom: u16) {
    let columns = fitting(usize::from(canvas.area.width));
    let heads = columns.iter().map(|(column, width)| {
        let mark = if column.is_sorted(view.sort) { theme.sorted().to_string() } else { String::new() };
        aligned(&(mark + column.title()), *column, *width)
    });
    canvas.line(heads.collect::<Vec<_>>().iter().map(|head| (head.as_str(), theme.head())));
    let cursor = view.cursor(rows);
    // The chosen row is always in sight.
    let room = usize::from(bottom.saturating_sub(canvas.y));
    let first = (cursor + 1).saturating_sub(room);
    let scale = Scale::of(rows);
    for (at, row) in rows.iter().enumerate().skip(first).take(room) {
        let cells: Vec<(String, Style)> =
            columns.iter().map(|(column, width)| cell(row, *column, *width, &scale, theme)).collect();
        canvas.line(cells.iter().map(|(cell, style)| (cell.as_str(), *style)));
        if at == cursor {
            canvas.restyle(theme.chosen());
        }
    }
    if rows.is_empty() && !view.filter.is_empty() {
        canvas.line([("no row has that text", theme.quiet())]);
    }
}

/// What bars and spark lines are as high as, for all rows alike.
struct Scale {
    load: u64,
    rate: f64,
}

impl Scale {
    fn of(rows: &[&Row]) -> Self {
        let load = rows.iter().filter_map(|row| load(row)).max().unwrap_or(0).max(SOME_LOAD);
        let rate = rows.iter().flat_map(|row| &row.rates).copied().fold(0.0, f64::max);
        Scale { load, rate }
    }
}

/// Requests that a worker has, and connections that wait for it.
fn load(row: &Row) -> Option<u64> {
    [row.in_flight, row.waiting].into_iter().flatten().reduce(|a, b| a + b)
}

fn cell(row: &Row, column: Column, width: usize, scale: &Scale, theme: Theme) -> (String, Style) {
    let (text, style) = match column {
        Column::Load => {
            let part = load(row).map_or(0.0, |load| load as f64 / scale.load as f64);
            (theme.bar_of(part, width), theme.bar())
        }
        Column::Spark => (theme.spark(&row.rates, scale.rate, width), theme.bar()),
        Column::State => (row.state.clone(), theme.state(&row.state)),
        column => (column.cell(row), Style::new()),
    };
    (aligned(&text, column, width), style)
}

/// A cell and what parts it from the next.
fn aligned(text: &str, column: Column, width: usize) -> String {
    match column.is_left() {
        true => format!("{text:<width$} "),
        false => format!("{text:>width$} "),
    }
}

fn help(theme: Theme, canvas: &mut Canvas<'_>) {
    for (keys, does) in HELP {
        canvas.line([(format!("  {keys:<16} ").as_str(), theme.title()), (does, Style::new())]);
    }
}

fn footer(view: &View, theme: Theme, canvas: &mut Canvas<'_>) {
    match &view.focus {
        Focus::Question(question) => {
            canvas.line([(question.text.as_str(), theme.chosen()), (" y: yes, any other key: no", theme.chosen())]);
        }
        Focus::Filter => {
            canvas.line([("filter: ", theme.title()), (view.filter.as_str(), Style::new()), ("_", theme.title())])
        }
        Focus::Help => canvas.line([("any key: back", theme.quiet())]),
        Focus::Rows => {
            let filter =
                if view.filter.is_empty() { String::new() } else { format!("filter: {} (Esc: all)", view.filter) };
            let keys = [
                "? help",
                "q quit",
                "s sort",
                "/ filter",
                "f freeze",
                "Enter detail",
                "r reload",
                "d drain",
                "x restart",
                "Tab fleet",
            ];
            let said = view.said.clone().unwrap_or_default();
            let parts: Vec<String> = [said, filter].into_iter().chain(keys.map(str::to_owned)).collect();
            canvas.parts(&parts, theme.quiet());
        }
    }
}
