//! Colours and signs, as the terminal takes them.

use std::ffi::OsString;

use ratatui::style::{Color, Modifier, Style};

/// What a terminal may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Theme {
    pub is_colored: bool,
    /// Whether it has signs beyond ASCII.
    pub has_blocks: bool,
}

const EIGHTHS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const ASCII_EIGHTHS: [char; 8] = ['_', '_', '.', '.', '-', '-', '=', '#'];

impl Theme {
    /// By the environment: `NO_COLOR`, and the character set of the locale, which ssh passes on.
    pub(super) fn of(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default();
        let locale = locale.to_string_lossy().to_ascii_lowercase();
        Theme { is_colored: set("NO_COLOR").is_none(), has_blocks: locale.contains("utf-8") || locale.contains("utf8") }
    }

    fn color(self, color: Color) -> Style {
        if self.is_colored { Style::new().fg(color) } else { Style::new() }
    }

    pub(super) fn title(self) -> Style {
        self.color(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    /// The head of a table.
    pub(super) fn head(self) -> Style {
        Style::new().add_modifier(Modifier::UNDERLINED)
    }

    /// The row that is chosen, or a question.
    pub(super) fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub(super) fn trouble(self) -> Style {
        self.color(Color::Red).add_modifier(Modifier::BOLD)
    }

    pub(super) fn quiet(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn bar(self) -> Style {
        self.color(Color::Green)
    }

    /// A worker's or a slot's state, or an event of that name.
    pub(super) fn state(self, state: &str) -> Style {
        match state {
            "serving" | "ready" | "up" | "reloaded" | "recovered" => self.color(Color::Green),
            "hung" | "failed" | "exited" | "killed" | "warning" | "rolled_back" | "spawn_failed" => {
                self.color(Color::Red)
            }
            "drained" | "filled" | "listening" => Style::new(),
            _ => self.color(Color::Yellow),
        }
    }

    /// A bar of so many cells, as full as `part` says, 0 to 1.
    pub(super) fn bar_of(self, part: f64, width: usize) -> String {
        // Eighths of a cell, for a terminal that has them.
        const ENDS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
        let eighths = (part.clamp(0.0, 1.0) * width as f64 * 8.0).round() as usize;
        match self.has_blocks {
            true => "█".repeat(eighths / 8) + ENDS[eighths % 8],
            false => "#".repeat((eighths + 4) / 8),
        }
    }

    /// The last of these as a line, one cell each; `most` is as high as a cell.
    pub(super) fn spark(self, values: &[f64], most: f64, width: usize) -> String {
        let levels = if self.has_blocks { EIGHTHS } else { ASCII_EIGHTHS };
        let level = |value: &f64| match *value {
            value if value <= 0.0 => ' ',
            value => levels[((value / most.max(value) * 8.0).ceil() as usize).clamp(1, 8) - 1],
        };
        values[values.len().saturating_sub(width)..].iter().map(level).collect()
    }

    /// Before the rows' order.
    pub(super) fn sorted(self) -> char {
        if self.has_blocks { '▾' } else { '*' }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCKS: Theme = Theme { is_colored: true, has_blocks: true };
    const ASCII: Theme = Theme { is_colored: false, has_blocks: false };

    #[test]
    fn the_environment_says_what_the_terminal_takes() {
        let theme = |set: &[(&str, &str)]| {
            let set: Vec<(String, String)> = set.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect();
            Theme::of(move |name| set.iter().find(|(set, _)| set == name).map(|(_, value)| value.into()))
        };
        assert_eq!(theme(&[("LANG", "de_DE.UTF-8")]), BLOCKS);
        assert_eq!(theme(&[("LANG", "C.utf8"), ("NO_COLOR", "")]), BLOCKS);
        assert_eq!(theme(&[("LANG", "C.UTF-8"), ("LC_ALL", "C"), ("NO_COLOR", "1")]), ASCII);
        assert_eq!(theme(&[("NO_COLOR", "1")]), ASCII);
    }

    #[test]
    fn without_colors_no_style_has_one() {
        let styles = [ASCII.title(), ASCII.trouble(), ASCII.bar(), ASCII.state("hung"), ASCII.state("serving")];
        assert!(styles.iter().all(|style| style.fg.is_none() && style.bg.is_none()));
        assert_eq!(BLOCKS.state("hung").fg, Some(Color::Red));
    }

    #[test]
    fn bars_and_sparks_fill_their_cells() {
        assert_eq!([0.0, 0.5, 1.0, 9.0].map(|part| BLOCKS.bar_of(part, 4)), ["", "██", "████", "████"]);
        assert_eq!(BLOCKS.bar_of(1.0 / 16.0, 2), "▏");
        assert_eq!(ASCII.bar_of(0.5, 4), "##");
        assert_eq!(BLOCKS.spark(&[9.0, 0.0, 1.0, 4.0, 8.0], 8.0, 4), " ▁▄█");
        assert_eq!(ASCII.spark(&[0.0, 8.0], 8.0, 4), " #");
        assert_eq!(BLOCKS.spark(&[], 0.0, 4), "");
    }
}
