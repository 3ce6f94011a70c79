//! Ratios to a reference as bars.

use super::axis::{Scale, linear_ticks, log_ticks, number, round_number, round_range, sane};
use super::font;
use super::sheet::{Head, MARGIN, WIDTH};
use super::style::{self, AXIS, Anchor, BODY, GRID_LINE, Line, NOTE, TEXT};
use super::svg::Svg;
use super::{Bar, Kind};

/// From one bar to the next, and a bar's own height, px.
const PITCH: f64 = 28.0;
const THICKNESS: f64 = 16.0;
/// Above the bars, for the names of the lines, and below them, for the axis, px.
const ABOVE: f64 = 52.0;
const BELOW: f64 = 48.0;
/// The longest name that is shown whole is about so wide, px.
const NAME_ROOM: f64 = 280.0;
/// Ratios that are further apart than this would leave nothing to see of the smallest on a linear axis.
const FAR_APART: f64 = 20.0;
/// Round numbers on the axis at most.
const MOST_TICKS: usize = 7;

const TARGET_LINE: Line = Line { colour: TEXT, width: 1.2, dashes: "5 4" };
const REFERENCE_LINE: Line = Line { colour: TEXT, width: 1.2, dashes: "" };

/// Draws ratios of a figure to the reference's, the smallest first. Ratios that are not numbers are left out. On a log axis
/// bars begin at 1, as there is no zero, and those below it point to the left.
pub(crate) fn bars(title: &str, figure: &str, reference: &str, target: Option<f64>, bars: &[Bar]) -> String {
    let sane_bar = |bar: &Bar| Some(Bar { ratio: sane(bar.ratio)?, ..bar.clone() });
    let mut bars: Vec<Bar> = bars.iter().filter_map(sane_bar).collect();
    bars.sort_by(|a, b| a.ratio.total_cmp(&b.ratio));
    let target = target.and_then(sane).filter(|target| *target > 0.0);
    let axis = Axis::of(&bars, target);
    let scale = if axis.log { " Log scale: bars begin at 1." } else { "" };
    let head = Head::new(title, &format!("{figure} relative to {reference}.{scale}"));
    if bars.is_empty() {
        return head.empty();
    }
    let top = head.height() + ABOVE;
    let bottom = top + bars.len() as f64 * PITCH;
    let mut svg = head.sheet(bottom + BELOW);
    axis.draw(top, bottom, &mut svg);
    axis.lines(top, bottom, reference, target, &mut svg);
    for (index, bar) in bars.iter().enumerate() {
        axis.bar(bar, top + (index as f64 + 0.5) * PITCH, &mut svg);
    }
    svg.finish()
}

/// Where everything is, from left to right.
struct Axis {
    x: Scale,
    log: bool,
    ticks: Vec<f64>,
    /// Where bars begin.
    base: f64,
    left: f64,
    right: f64,
}

impl Axis {
    fn of(bars: &[Bar], target: Option<f64>) -> Self {
        let ratios = bars.iter().map(|bar| bar.ratio).chain([1.0]).chain(target);
        let positive = ratios.clone().filter(|ratio| *ratio > 0.0);
        let (low, high) = (positive.clone().fold(f64::INFINITY, f64::min), positive.clone().fold(0.0, f64::max));
        let log = high / low > FAR_APART;

        let names =
            bars.iter().map(|bar| font::width(&name(bar), BODY.size, bar.kind == Kind::Ours)).fold(0.0, f64::max);
        let numbers =
            bars.iter().map(|bar| font::width(&number(bar.ratio), BODY.size, true)).fold(0.0, f64::max) + 16.0;
        let (left, right) = (MARGIN + names + 12.0, WIDTH - MARGIN - numbers);
        if log {
            let range = round_range(positive);
            // Numbers of bars that point to the left stand to the left of them.
            let first = if range.0 < 1.0 { left + numbers } else { left };
            Self {
                x: Scale::log(range, (first, right)),
                log,
                ticks: log_ticks(range, MOST_TICKS),
                base: 1.0,
                left,
                right,
            }
        } else {
            Self {
                x: Scale::linear((0.0, high), (left, right)),
                log,
                ticks: linear_ticks(high, MOST_TICKS),
                base: 0.0,
                left,
                right,
            }
        }
    }

    fn draw(&self, top: f64, bottom: f64, svg: &mut Svg) {
        for tick in &self.ticks {
            let x = self.x.place(*tick);
            svg.line(&[(x, top), (x, bottom)], GRID_LINE);
            svg.text((x, bottom + 20.0), &round_number(*tick), BODY.anchored(Anchor::Middle));
        }
        svg.line(&[(self.left, bottom), (self.right, bottom)], Line { colour: AXIS, ..GRID_LINE });
    }

    fn bar(&self, bar: &Bar, middle: f64, svg: &mut Svg) {
        let (base, end) = (self.x.place(self.base), self.x.place(bar.ratio));
        svg.rectangle((base.min(end), middle - THICKNESS / 2.0), (end - base).abs(), THICKNESS, style::bar(bar.kind));
        let words = BODY.coloured(style::bar_ink(bar.kind)).bold(bar.kind == Kind::Ours);
        svg.text((self.left - 12.0, middle + 4.5), &name(bar), words.anchored(Anchor::End));
        let (x, anchor) = if end < base { (end - 7.0, Anchor::End) } else { (end + 7.0, Anchor::Start) };
        svg.text((x, middle + 4.5), &number(bar.ratio), words.anchored(anchor).on_paper());
    }

    /// The reference at 1, and the target, each named above the bars, in a row of its own.
    fn lines(&self, top: f64, bottom: f64, reference: &str, target: Option<f64>, svg: &mut Svg) {
        let one = self.x.place(1.0);
        svg.line(&[(one, top - 22.0), (one, bottom)], REFERENCE_LINE);
        let name = font::fit(&format!("1 = {reference}"), NOTE.size, false, WIDTH / 2.0);
        let room = font::width(&name, NOTE.size, false) / 2.0;
        let middle = one.clamp(MARGIN + room, WIDTH - MARGIN - room);
        svg.text((middle, top - 30.0), &name, NOTE.anchored(Anchor::Middle).coloured(TEXT));
        if let Some(target) = target {
            let x = self.x.place(target);
            svg.line(&[(x, top - 8.0), (x, bottom)], TARGET_LINE);
            // Away from the reference's line, as far as the paper goes.
            let name = format!("target {}", number(target));
            let room = font::width(&name, NOTE.size, false);
            let left = if target < 1.0 { x - 4.0 - room } else { x + 4.0 };
            let left = left.clamp(MARGIN, WIDTH - MARGIN - room);
            svg.text((left, top - 6.0), &name, NOTE.coloured(TEXT));
        }
    }
}

fn name(bar: &Bar) -> String {
    font::fit(&bar.name, BODY.size, bar.kind == Kind::Ours, NAME_ROOM)
}
