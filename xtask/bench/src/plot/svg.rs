//! SVG, written by hand: the few elements that a plot needs, as short and always the same text for the same picture.

use std::fmt::Write;

use super::font::FAMILY;
use super::style::{Line, PAPER, Words};

/// A picture that is being drawn.
pub(super) struct Svg {
    head: String,
    body: String,
}

impl Svg {
    /// A sheet of paper, white on a dark page too. Title and description are for those who cannot see it.
    pub(super) fn new(width: f64, height: f64, title: &str, about: &str) -> Self {
        let head = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" font-family=\"{FAMILY}\">\n<title>{}</title>\n\
             <desc>{}</desc>\n<rect width=\"{width:.0}\" height=\"{height:.0}\" rx=\"8\" fill=\"{PAPER}\"/>\n",
            escape(title),
            escape(about)
        );
        Self { head, body: String::new() }
    }

    pub(super) fn line(&mut self, points: &[(f64, f64)], line: Line) {
        let points = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ");
        let Line { colour, width, dashes } = line;
        let dashes = if dashes.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dashes}\"") };
        let _ = writeln!(
            self.body,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" \
             stroke-linejoin=\"round\"{dashes}/>"
        );
    }

    pub(super) fn dot(&mut self, (x, y): (f64, f64), radius: f64, colour: &str) {
        let _ = writeln!(self.body, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{colour}\"/>");
    }

    pub(super) fn rectangle(&mut self, (x, y): (f64, f64), width: f64, height: f64, colour: &str) {
        let _ = writeln!(
            self.body,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>"
        );
    }

    /// The place is that of the baseline.
    pub(super) fn text(&mut self, (x, y): (f64, f64), text: &str, words: Words) {
        let Words { size, bold, anchor, colour, on_paper } = words;
        let bold = if bold { " font-weight=\"bold\"" } else { "" };
        let anchor = anchor.attribute();
        let paper = format!(" stroke=\"{PAPER}\" stroke-width=\"4\" paint-order=\"stroke\"");
        let paper = if on_paper { &paper } else { "" };
        let _ = writeln!(
            self.body,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" fill=\"{colour}\"{bold}{anchor}{paper}>{}</text>",
            escape(text)
        );
    }

    pub(super) fn finish(self) -> String {
        format!("{}{}</svg>\n", self.head, self.body)
    }
}

/// Text as XML may hold it: no markup, and none of the control characters that XML forbids.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => {}
            control if control.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_break_out() {
        assert_eq!(escape("a<b> & \"c\"\u{1b}[0m\n"), "a&lt;b&gt; &amp; &quot;c&quot; [0m ");
    }
}
