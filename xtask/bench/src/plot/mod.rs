//! Pictures of what was measured: pure functions from figures to SVG.
//!
//! The flow: figures -> [`distributions()`] or [`bars()`], which place things by [`axis`] and [`labels`] -> [`svg`].

mod axis;
mod bars;
mod distributions;
mod font;
mod labels;
mod sheet;
mod style;
mod svg;

#[cfg(test)]
mod tests;

pub(super) use self::bars::bars;
pub(super) use self::distributions::distributions;

/// What part something has in a picture; it decides how it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// What the picture is about. The first of them is drawn strongest.
    Ours,
    /// What the others are held against.
    Reference,
    /// Any other peer.
    Other,
}

/// The latencies of one peer.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    pub(super) name: String,
    /// Quantile, 0 to 1, and latency, ms. The largest of all, at quantile 1, has no place on an axis that opens towards
    /// the tail, and is not drawn.
    pub(super) points: Vec<(f64, f64)>,
    pub(super) kind: Kind,
}

/// One peer's figure in terms of the reference's.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) ratio: f64,
    pub(super) kind: Kind,
}
