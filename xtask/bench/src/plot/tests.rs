//! The pictures, read again by a library that renders SVG.

use resvg::tiny_skia::Rect;
use resvg::usvg::{Group, Node, Options, Path, Tree};

use super::*;

const PEERS: [(&str, Kind); 12] = [
    ("plain SO_REUSEPORT", Kind::Other),
    ("one shared accept queue", Kind::Reference),
    ("llb least-latency", Kind::Ours),
    ("llb least-inflight", Kind::Ours),
    ("llb argmin", Kind::Ours),
    ("HAProxy leastconn, maxconn 1", Kind::Other),
    ("HAProxy leastconn", Kind::Other),
    ("HAProxy roundrobin", Kind::Other),
    ("nginx least_conn", Kind::Other),
    ("nginx round robin", Kind::Other),
    ("Node cluster, shared handle", Kind::Other),
    ("ideal queue, no machine", Kind::Reference),
];

/// Twelve peers from 5 ms to 3 s, many of them at the same places.
fn peers() -> Vec<Curve> {
    let curve = |(nth, (name, kind)): (usize, &(&str, Kind))| {
        let worst = [3000.0, 9.3, 10.4, 153.0, 231.0, 16.0, 206.0, 552.0, 128.5, 614.0, 207.0, 7.6][nth];
        let ms = |step: f64| 5.0 + (worst - 5.0) * (step / 30.0).powi(2 + nth as i32 % 4);
        Curve {
            name: (*name).to_owned(),
            points: (0..=30).map(|step| (1.0 - 0.1f64.powf(f64::from(step) / 10.0), ms(f64::from(step)))).collect(),
            kind: *kind,
        }
    };
    PEERS.iter().enumerate().map(curve).collect()
}

fn ratios() -> Vec<Bar> {
    let ratio = [39.6, 1.0, 1.11, 1.19, 27.4, 1.51, 15.3, 43.0, 4.82, 54.8, 5.0, 0.83];
    let bar = |((name, kind), ratio): (&(&str, Kind), f64)| Bar { name: (*name).to_owned(), ratio, kind: *kind };
    PEERS.iter().zip(ratio).map(bar).collect()
}

fn one(points: Vec<(f64, f64)>) -> Vec<Curve> {
    vec![Curve { name: "llb".to_owned(), points, kind: Kind::Ours }]
}

fn bar(ratio: f64) -> Bar {
    Bar { name: "llb".to_owned(), ratio, kind: Kind::Ours }
}

fn tree(svg: &str) -> Tree {
    let mut options = Options::default();
    options.fontdb_mut().load_font_data(font::REGULAR.to_vec());
    options.fontdb_mut().load_font_data(font::BOLD.to_vec());
    Tree::from_str(svg, &options).expect("the picture is SVG")
}

/// Every text with its box, and every path.
fn collect(group: &Group, texts: &mut Vec<(String, Rect)>, paths: &mut Vec<Path>) {
    for node in group.children() {
        match node {
            Node::Group(group) => collect(group, texts, paths),
            Node::Path(path) => paths.push((**path).clone()),
            Node::Text(text) => {
                let words = text.chunks().iter().map(|chunk| chunk.text()).collect();
                texts.push((words, text.abs_bounding_box()));
            }
            Node::Image(_) => panic!("there are no images in a plot"),
        }
    }
}

fn look(svg: &str) -> (Vec<(String, Rect)>, Vec<Path>) {
    let (mut texts, mut paths) = (Vec::new(), Vec::new());
    collect(tree(svg).root(), &mut texts, &mut paths);
    (texts, paths)
}

/// That no text lies on another or leaves the paper.
fn check_texts(svg: &str) {
    let size = tree(svg).size();
    let (texts, _) = look(svg);
    assert!(!texts.is_empty());
    for (index, (text, place)) in texts.iter().enumerate() {
        let inside = place.left() >= 0.0 && place.right() <= size.width() && place.top() >= 0.0;
        assert!(inside && place.bottom() <= size.height(), "{text:?} at {place:?} is not on the paper");
        for (other, its) in &texts[..index] {
            assert!(place.intersect(its).is_none(), "{text:?} at {place:?} lies on {other:?} at {its:?}");
        }
    }
}

fn says(svg: &str, what: &str) -> bool {
    look(svg).0.iter().any(|(text, _)| text.contains(what))
}

#[test]
fn no_text_lies_on_another_or_leaves_the_paper() {
    let about = "8 workers that block; 400 new connections a second, 2% of the requests 200 ms of work. ".repeat(4);
    check_texts(&distributions("heavy-tail", &about, &peers()));
    let ends_together =
        PEERS.map(|(name, kind)| Curve { name: name.repeat(3), points: vec![(0.5, 5.0), (0.999, 9.0)], kind });
    check_texts(&distributions(&"a long title ".repeat(12), "", &ends_together));
    let many: Vec<Curve> = (0..60).flat_map(|_| one(vec![(0.0, 1.0), (0.9, 2.0)])).collect();
    check_texts(&distributions("many", "", &many));

    for target in [None, Some(0.9), Some(1.0), Some(1.1), Some(30.0)] {
        check_texts(&bars("heavy-tail", "p99", "one shared accept queue", target, &ratios()));
        check_texts(&bars("one", "p99", &"a long reference ".repeat(20), target, &[bar(1.1)]));
        check_texts(&bars("one", "answers/s", "one shared accept queue", target, &[bar(0.8), bar(0.27)]));
    }
}

#[test]
fn extreme_values_stay_on_the_paper() {
    let extremes = one(vec![(0.0, 0.0), (0.5, 1e-9), (0.9, 1e9), (0.99, f64::MAX), (0.999, f64::NAN), (1.0, 5.0)]);
    for points in [extremes, one(vec![(0.5, 0.0)]), one(vec![(0.999, 1e9)]), one(vec![(0.0, 7.0), (0.999_999, 7.0)])] {
        let svg = distributions("extreme", "", &points);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        check_texts(&svg);
    }
    for ratios in [vec![bar(0.0), bar(1e9)], vec![bar(0.0)], vec![bar(1e-9), bar(f64::NAN)], vec![bar(1e9)]] {
        let svg = bars("extreme", "p99", "the shared queue", Some(1e9), &ratios);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        check_texts(&svg);
    }
}

#[test]
fn a_curve_that_never_falls_is_drawn_so() {
    let curves = peers();
    let (_, paths) = look(&distributions("heavy-tail", "", &curves));
    let curves_drawn = paths.iter().filter(|path| path.data().points().len() > 6 && path.fill().is_none());
    let mut seen = 0;
    for path in curves_drawn {
        let points = path.data().points();
        // Down on paper is up in y.
        assert!(points.windows(2).all(|pair| pair[0].x < pair[1].x && pair[0].y >= pair[1].y), "{points:?}");
        seen += 1;
    }
    assert_eq!(seen, curves.len());
}

#[test]
fn bars_are_sorted_and_as_long_as_their_ratios() {
    let svg = bars("t", "p99", "the shared queue", None, &[bar(2.0), bar(0.5), bar(1.0)]);
    let (_, paths) = look(&svg);
    let drawn: Vec<Rect> = paths.iter().filter(|path| path.fill().is_some()).map(Path::abs_bounding_box).collect();
    // The first is the paper.
    let widths: Vec<f32> = drawn[1..].iter().map(|bar| bar.width()).collect();
    assert!(widths.len() == 3 && drawn[1].top() < drawn[2].top() && drawn[2].top() < drawn[3].top());
    assert!((widths[1] / widths[0] - 2.0).abs() < 0.01 && (widths[2] / widths[1] - 2.0).abs() < 0.01, "{widths:?}");
}

#[test]
fn names_from_outside_are_text() {
    let name = "<b>&\"x\u{1b}";
    let curves = [Curve { name: name.to_owned(), points: vec![(0.5, 1.0)], kind: Kind::Other }];
    let svg = distributions(name, name, &curves);
    assert!(says(&svg, "<b>&\"x") && !svg.contains("<b>"), "{svg}");
    let svg = bars(name, name, name, None, &[Bar { name: name.to_owned(), ratio: 1.0, kind: Kind::Other }]);
    assert!(says(&svg, "<b>&\"x") && !svg.contains("<b>"), "{svg}");
}

#[test]
fn a_picture_of_nothing_says_so() {
    let nothing = one(vec![(1.0, 5.0), (0.5, f64::NAN)]);
    let none = bar(f64::INFINITY);
    let pictures = [
        distributions("t", "", &[]),
        distributions("t", "", &nothing),
        bars("t", "p99", "x", Some(1.1), &[]),
        bars("t", "p99", "x", None, &[none]),
    ];
    for svg in pictures {
        assert!(says(&svg, "Nothing was measured."), "{svg}");
        check_texts(&svg);
    }
}

#[test]
fn the_same_figures_give_the_same_picture() {
    assert_eq!(distributions("t", "a", &peers()), distributions("t", "a", &peers()));
}
