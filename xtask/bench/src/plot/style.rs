//! Colours, lines and type: one strong colour for what the picture is about, dark thin lines for what it is held against,
//! muted colours for the others.

use super::Kind;

pub(super) const PAPER: &str = "#ffffff";
pub(super) const TEXT: &str = "#1f2328";
pub(super) const FAINT_TEXT: &str = "#656d76";
pub(super) const GRID: &str = "#e6e8eb";
pub(super) const AXIS: &str = "#8c959f";

const STRONG: &str = "#d1242f";
/// Dark enough to be read as text on white (a contrast of 4.5 or more), apart in hue or lightness, and none near red.
const MUTED: [&str; 8] = ["#3b6ea5", "#8a6a14", "#3f7d4e", "#7d5a9e", "#1f7a85", "#96603c", "#5f7080", "#a3568a"];
const MUTED_BAR: &str = "#a9b8c9";

/// How a line is drawn.
#[derive(Clone, Copy)]
pub(super) struct Line {
    pub(super) colour: &'static str,
    pub(super) width: f64,
    /// As SVG's stroke-dasharray; empty for a solid line.
    pub(super) dashes: &'static str,
}

pub(super) const GRID_LINE: Line = Line { colour: GRID, width: 1.0, dashes: "" };

/// The line of the n-th of its kind.
pub(super) fn curve(kind: Kind, nth: usize) -> Line {
    match kind {
        Kind::Ours if nth == 0 => Line { colour: STRONG, width: 3.5, dashes: "" },
        Kind::Ours => Line { colour: STRONG, width: 1.5, dashes: ["6 3", "2 3", "8 3 2 3"][(nth - 1) % 3] },
        Kind::Reference => Line { colour: TEXT, width: 1.3, dashes: ["", "5 4", "1.5 3"][nth % 3] },
        Kind::Other => {
            let dashes = ["", "7 3", "2 3"][nth / MUTED.len() % 3];
            Line { colour: MUTED[nth % MUTED.len()], width: 1.6, dashes }
        }
    }
}

/// The colour of a bar.
pub(super) fn bar(kind: Kind) -> &'static str {
    match kind {
        Kind::Ours => STRONG,
        Kind::Reference => TEXT,
        Kind::Other => MUTED_BAR,
    }
}

/// The colour of a bar's name and number.
pub(super) fn bar_ink(kind: Kind) -> &'static str {
    match kind {
        Kind::Ours => STRONG,
        Kind::Reference | Kind::Other => TEXT,
    }
}

/// Which end of a text its place is.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Anchor {
    pub(super) fn attribute(self) -> &'static str {
        match self {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        }
    }
}

/// How a text is set.
#[derive(Clone, Copy)]
pub(super) struct Words {
    /// px
    pub(super) size: f64,
    pub(super) bold: bool,
    pub(super) anchor: Anchor,
    pub(super) colour: &'static str,
    /// Keeps lines that it lies on away from its letters.
    pub(super) on_paper: bool,
}

pub(super) const TITLE: Words = Words { size: 20.0, bold: true, anchor: Anchor::Start, colour: TEXT, on_paper: false };
pub(super) const BODY: Words = Words { size: 13.0, bold: false, anchor: Anchor::Start, colour: TEXT, on_paper: false };
pub(super) const NOTE: Words =
    Words { size: 12.0, bold: false, anchor: Anchor::Start, colour: FAINT_TEXT, on_paper: false };

impl Words {
    pub(super) fn anchored(self, anchor: Anchor) -> Self {
        Self { anchor, ..self }
    }

    pub(super) fn coloured(self, colour: &'static str) -> Self {
        Self { colour, ..self }
    }

    pub(super) fn on_paper(self) -> Self {
        Self { on_paper: true, ..self }
    }

    pub(super) fn bold(self, bold: bool) -> Self {
        Self { bold, ..self }
    }
}
