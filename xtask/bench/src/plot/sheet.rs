//! What every picture has: paper, a title, some lines about it, and room below.

use super::font;
use super::style::{BODY, FAINT_TEXT, TITLE};
use super::svg::Svg;

/// px
pub(super) const WIDTH: f64 = 1000.0;
/// Between the drawing and the edges of the paper, px.
pub(super) const MARGIN: f64 = 28.0;

/// From one baseline to the next, in sizes of the type.
const LEADING: f64 = 1.4;

/// Between the title and the description, px.
const GAP: f64 = 4.0;

/// Title and description in lines that fit.
pub(super) struct Head {
    title: Vec<String>,
    about: Vec<String>,
}

impl Head {
    pub(super) fn new(title: &str, about: &str) -> Self {
        let room = WIDTH - 2.0 * MARGIN;
        Self { title: font::wrap(title, TITLE.size, true, room), about: font::wrap(about, BODY.size, false, room) }
    }

    /// Where it ends, px.
    pub(super) fn height(&self) -> f64 {
        MARGIN + GAP + LEADING * (self.title.len() as f64 * TITLE.size + self.about.len() as f64 * BODY.size)
    }

    /// The paper with this on it.
    pub(super) fn sheet(&self, height: f64) -> Svg {
        let mut svg = Svg::new(WIDTH, height, &self.title.join(" "), &self.about.join(" "));
        let mut baseline = MARGIN - (LEADING - 1.0) * TITLE.size;
        for line in &self.title {
            baseline += LEADING * TITLE.size;
            svg.text((MARGIN, baseline), line, TITLE);
        }
        baseline += GAP;
        for line in &self.about {
            baseline += LEADING * BODY.size;
            svg.text((MARGIN, baseline), line, BODY.coloured(FAINT_TEXT));
        }
        svg
    }

    /// The picture if there are no figures: it says so.
    pub(super) fn empty(&self) -> String {
        let below = self.height();
        let mut svg = self.sheet(below + 3.0 * MARGIN);
        svg.text((MARGIN, below + 1.5 * MARGIN), "Nothing was measured.", BODY);
        svg.finish()
    }
}
