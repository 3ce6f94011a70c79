//! The same picture as dots, with the embedded font alone: nothing depends on what a machine has installed.

use std::sync::Arc;

use anyhow::{Context, Result};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb::Database};

use super::font;

/// Dots per px, so that screens with fine dots show it sharp.
const DENSITY: f32 = 2.0;

/// Renders what this module drew.
pub(crate) fn png(svg: &str) -> Result<Vec<u8>> {
    let mut fonts = Database::new();
    fonts.load_font_data(font::REGULAR.to_vec());
    fonts.load_font_data(font::BOLD.to_vec());
    let options = Options { fontdb: Arc::new(fonts), ..Options::default() };
    let tree = Tree::from_str(svg, &options).context("cannot read the picture's SVG")?;
    let size = tree.size().to_int_size().scale_by(DENSITY).context("the picture has no size")?;
    let mut dots = Pixmap::new(size.width(), size.height()).context("the picture is too large for memory")?;
    resvg::render(&tree, Transform::from_scale(DENSITY, DENSITY), &mut dots.as_mut());
    dots.encode_png().context("cannot encode the picture")
}
