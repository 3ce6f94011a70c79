//! The embedded font: how wide a text is in it, and how to make a text fit.

use skrifa::instance::{LocationRef, Size};
use skrifa::{FontRef, MetadataProvider};

/// Asked for by name first, so that a reader's machine that has it shows what was laid out. The others are narrower.
pub(super) const FAMILY: &str = "DejaVu Sans, Helvetica, Arial, sans-serif";

pub(super) const REGULAR: &[u8] = include_bytes!("font/DejaVuSans.ttf");
pub(super) const BOLD: &[u8] = include_bytes!("font/DejaVuSans-Bold.ttf");

/// The width of a character that the font does not have, in ems: that of a wide letter.
const UNKNOWN_EM: f64 = 1.0;

/// The width of a text, px, at a size in px.
pub(super) fn width(text: &str, size: f64, bold: bool) -> f64 {
    let Ok(font) = FontRef::new(if bold { BOLD } else { REGULAR }) else {
        return UNKNOWN_EM * size * text.len() as f64;
    };
    let (map, metrics) = (font.charmap(), font.glyph_metrics(Size::new(size as f32), LocationRef::default()));
    let advance = |character| map.map(character).and_then(|glyph| metrics.advance_width(glyph)).map(f64::from);
    text.chars().map(|character| advance(character).unwrap_or(UNKNOWN_EM * size)).sum()
}

/// The text in lines of at most this width, broken at spaces. A longer word stands alone, cut.
pub(super) fn wrap(text: &str, size: f64, bold: bool, room: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(&format!("{line} {word}"), size, bold) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(fit(word, size, bold, room)),
        }
    }
    lines
}

/// The text, or as much of its beginning as has room, and an ellipsis.
pub(super) fn fit(text: &str, size: f64, bold: bool, room: f64) -> String {
    if width(text, size, bold) <= room {
        return text.to_owned();
    }
    let mut kept = text.to_owned();
    while kept.pop().is_some() && width(&format!("{kept}…"), size, bold) > room {}
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_faces_can_be_measured() {
        let (regular, bold) = (width("p99.9 of 8 workers", 10.0, false), width("p99.9 of 8 workers", 10.0, true));
        assert!((90.0..130.0).contains(&regular) && bold > regular, "{regular} {bold}");
    }

    #[test]
    fn lines_keep_every_word_and_their_room() {
        let text = "8 workers that block; 400 new connections a second, 2% of them 200 ms of work and the others 5 ms";
        let lines = wrap(text, 12.0, false, 200.0);
        assert_eq!(lines.join(" "), text);
        assert!(lines.len() > 2 && lines.iter().all(|line| width(line, 12.0, false) <= 200.0));
        assert!(wrap(" ", 12.0, false, 200.0).is_empty());
    }

    #[test]
    fn what_does_not_fit_is_cut() {
        let cut = fit(&"w".repeat(100), 12.0, true, 80.0);
        assert!(cut.ends_with('…') && width(&cut, 12.0, true) <= 80.0, "{cut}");
        assert_eq!(fit("short", 12.0, true, 80.0), "short");
    }
}
