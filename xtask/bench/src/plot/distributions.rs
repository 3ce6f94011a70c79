//! The latencies of all peers on one axis that opens towards the tail.

use super::axis::{Scale, log_ticks, number, round_number, round_range, sane};
use super::font;
use super::labels::spread;
use super::sheet::{Head, MARGIN, WIDTH};
use super::style::{self, AXIS, Anchor, BODY, FAINT_TEXT, GRID_LINE, Line, NOTE};
use super::svg::Svg;
use super::{Curve, Kind};

/// The whole picture, px, unless its labels need more.
const HEIGHT: f64 = 640.0;
/// From one label to the next, px.
const PITCH: f64 = 18.0;
/// From a curve's end to its label, for the line that joins them, px.
const LEADER: f64 = 22.0;
/// The longest name that is shown whole is about so wide, px.
const NAME_ROOM: f64 = 260.0;
/// Below the axis: two lines of labels and its title, px.
const BELOW: f64 = 76.0;
/// Above it: what the axis and the column of labels show, px.
const ABOVE: f64 = 44.0;
/// Round numbers on the latency axis at most: one in 30 px can be told apart at a glance.
const MOST_TICKS: usize = 14;
/// A curve of no more points than this shows them, as the lines between them are only drawn, not measured.
const FEW: usize = 12;
/// A curve's points that are closer than this on paper are one, px.
const FINEST: f64 = 0.5;

/// What part of the requests is slower than each labelled quantile.
const QUANTILES: [(f64, &str); 7] = [
    (0.0, "all"),
    (0.5, "1 in 2"),
    (0.9, "1 in 10"),
    (0.99, "1 in 100"),
    (0.999, "1 in 1,000"),
    (0.9999, "1 in 10,000"),
    (0.99999, "1 in 100,000"),
];

/// Draws the latency distributions of all peers. Points that are not numbers are left out; latencies of zero lie on the
/// lower edge, as a log axis has no zero.
pub(crate) fn distributions(title: &str, about: &str, curves: &[Curve]) -> String {
    let head = Head::new(title, about);
    let curves: Vec<Drawn> = drawn(curves);
    let Some(axes) = Axes::of(&curves, head.height()) else { return head.empty() };
    let mut svg = head.sheet(axes.bottom + BELOW);
    axes.draw(&mut svg);
    // What the picture is about lies on the others, and thin dark lines on it.
    for kind in [Kind::Other, Kind::Ours, Kind::Reference] {
        for curve in curves.iter().filter(|curve| curve.kind == kind) {
            curve.draw(&axes, &mut svg);
        }
    }
    label(&curves, &axes, &mut svg);
    svg.finish()
}

/// A curve with at least one point that can be drawn.
struct Drawn {
    name: String,
    kind: Kind,
    line: Line,
    bold: bool,
    /// By quantile.
    points: Vec<(f64, f64)>,
    /// The last of them.
    end: (f64, f64),
}

fn drawn(curves: &[Curve]) -> Vec<Drawn> {
    let mut seen = Vec::new();
    let drawn = |curve: &Curve| {
        let nth = seen.iter().filter(|kind| **kind == curve.kind).count();
        seen.push(curve.kind);
        let usable =
            |(quantile, ms): &(f64, f64)| Some((*quantile, sane(*ms).filter(|_| (0.0..1.0).contains(quantile))?));
        let mut points: Vec<_> = curve.points.iter().filter_map(usable).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let bold = curve.kind == Kind::Ours && nth == 0;
        let name = font::fit(&curve.name, BODY.size, bold, NAME_ROOM);
        let end = *points.last()?;
        Some(Drawn { name, kind: curve.kind, line: style::curve(curve.kind, nth), bold, points, end })
    };
    curves.iter().filter_map(drawn).collect()
}

/// Where everything is.
struct Axes {
    x: Scale,
    y: Scale,
    quantiles: (f64, f64),
    ms: (f64, f64),
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    /// Of the column of numbers beside the curves' ends.
    numbers: f64,
}

impl Axes {
    /// None if there is nothing to draw.
    fn of(curves: &[Drawn], below: f64) -> Option<Self> {
        let points = || curves.iter().flat_map(|curve| &curve.points);
        let first = points().map(|(quantile, _)| *quantile).min_by(f64::total_cmp)?;
        let last = points().map(|(quantile, _)| *quantile).max_by(f64::total_cmp)?;
        let quantiles = if first < last { (first, last) } else { (0.0, last.max(0.5)) };

        let positive = points().map(|(_, ms)| *ms).filter(|ms| *ms > 0.0);
        let ms = if positive.clone().next().is_some() { round_range(positive) } else { (1.0, 10.0) };

        let widest = |widths: &mut dyn Iterator<Item = f64>| widths.fold(0.0, f64::max);
        let names = widest(&mut curves.iter().map(|curve| font::width(&curve.name, BODY.size, curve.bold)));
        let numbers = widest(&mut curves.iter().map(|curve| font::width(&number(curve.end.1), BODY.size, true)));
        let ticks = widest(
            &mut log_ticks(ms, MOST_TICKS).into_iter().map(|ms| font::width(&round_number(ms), BODY.size, false)),
        );

        let (left, right) = (MARGIN + ticks + 10.0, WIDTH - MARGIN - names - 8.0 - numbers - LEADER);
        let top = below + ABOVE;
        let bottom = (HEIGHT - BELOW).max(top + curves.len() as f64 * PITCH);
        let (x, y) = (Scale::tail(quantiles, (left, right)), Scale::log(ms, (bottom, top)));
        Some(Self { x, y, quantiles, ms, left, right, top, bottom, numbers })
    }

    fn draw(&self, svg: &mut Svg) {
        for ms in log_ticks(self.ms, MOST_TICKS) {
            let y = self.y.place(ms);
            svg.line(&[(self.left, y), (self.right, y)], GRID_LINE);
            svg.text((self.left - 10.0, y + 4.5), &round_number(ms), BODY.anchored(Anchor::End));
        }
        for (quantile, slower) in QUANTILES {
            if quantile < self.quantiles.0 - 1e-9 || quantile > self.quantiles.1 + 1e-9 {
                continue;
            }
            let x = self.x.place(quantile);
            svg.line(&[(x, self.top), (x, self.bottom)], GRID_LINE);
            svg.line(&[(x, self.bottom), (x, self.bottom + 5.0)], Line { colour: AXIS, ..GRID_LINE });
            svg.text((x, self.bottom + 20.0), &percentile(quantile), BODY.anchored(Anchor::Middle));
            svg.text((x, self.bottom + 36.0), slower, NOTE.anchored(Anchor::Middle));
        }
        svg.line(&[(self.left, self.bottom), (self.right, self.bottom)], Line { colour: AXIS, ..GRID_LINE });
        svg.text((MARGIN, self.top - 20.0), "latency, ms (log scale)", NOTE);
        let below = "percentile of the requests, and how many of them were slower; the scale opens towards the tail";
        svg.text((self.left, self.bottom + 60.0), below, NOTE);
    }
}

impl Drawn {
    fn draw(&self, axes: &Axes, svg: &mut Svg) {
        let mut path: Vec<(f64, f64)> = Vec::new();
        for (index, (quantile, ms)) in self.points.iter().enumerate() {
            let (x, y) = (axes.x.place(*quantile), axes.y.place(*ms));
            let near = |(px, py): &(f64, f64)| (x - px).abs() < FINEST && (y - py).abs() < FINEST;
            if index + 1 == self.points.len() || !path.last().is_some_and(near) {
                path.push((x, y));
            }
        }
        svg.line(&path, self.line);
        let few = if self.points.len() <= FEW { path.len() } else { 1 };
        for point in path.iter().rev().take(few) {
            svg.dot(*point, self.line.width.max(2.0), self.line.colour);
        }
    }
}

/// Names the curves at their right ends, with the latency there.
fn label(curves: &[Drawn], axes: &Axes, svg: &mut Svg) {
    let ends: Vec<f64> = curves.iter().map(|curve| axes.y.place(curve.end.1)).collect();
    let places = spread(&ends, PITCH, axes.top, axes.bottom);
    let numbers = axes.right + LEADER + axes.numbers;
    for ((curve, end), place) in curves.iter().zip(ends).zip(places) {
        let start = (axes.x.place(curve.end.0) + 4.0, end);
        let leader =
            [start, (axes.right + 4.0, end), (axes.right + LEADER - 6.0, place), (axes.right + LEADER - 3.0, place)];
        svg.line(&leader, Line { width: 0.8, dashes: "", ..curve.line });
        let words = BODY.coloured(curve.line.colour).bold(curve.bold);
        svg.text((numbers, place + 4.5), &number(curve.end.1), words.anchored(Anchor::End));
        svg.text((numbers + 8.0, place + 4.5), &curve.name, words);
    }
    let at = axes.quantiles.1;
    let all = curves.iter().all(|curve| curve.end.0 == at);
    let what = if all { format!("{}, ms", percentile(at)) } else { "at its end, ms".to_owned() };
    svg.text((axes.right + LEADER, axes.top - 20.0), &what, NOTE.coloured(FAINT_TEXT));
}

/// As in p99.9.
fn percentile(quantile: f64) -> String {
    let percent = format!("{:.4}", quantile * 100.0);
    format!("p{}", percent.trim_end_matches('0').trim_end_matches('.'))
}
