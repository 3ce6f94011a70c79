//! The pictures of a run: for each scenario the latencies of everybody, and their ratios to a reference.

use std::fs;

use anyhow::{Context, Result};

use super::figure::{Figure, ratio};
use super::peer::Peer;
use super::pictures::Pictures;
use super::plot::{self, Bar, Curve, Kind};
use super::run::write;
use super::summary::{Report, Section};
use super::verdict;
use llb_kit::quantiles::{Distribution, grid, median};

impl Pictures {
    /// Every scenario's two pictures, as SVG.
    pub(super) fn write(&self, report: &Report) -> Result<()> {
        fs::create_dir_all(&self.0).with_context(|| format!("cannot make {}", self.0.display()))?;
        for section in &report.sections {
            if !section.good().is_empty() {
                let name = section.scenario.name();
                self.write_one(name, &distributions(section))?;
                self.write_one(&format!("{name}-ratios"), &bars(section))?;
            }
        }
        Ok(())
    }

    fn write_one(&self, name: &str, svg: &str) -> Result<()> {
        write(&self.0.join(format!("{name}.svg")), svg)
    }
}

fn distributions(section: &Section) -> String {
    let rounds = section.good();
    let curve = |peer: Peer| {
        let all: Vec<_> = rounds.iter().filter_map(|round| round.of(peer)).collect();
        let requests = all.iter().map(|measured| measured.requests).min()?;
        let points = medians(&all.iter().map(|measured| &measured.distribution).collect::<Vec<_>>())
            .into_iter()
            .filter(|(quantile, _)| has_slower(*quantile, requests))
            .map(|(quantile, ns)| (quantile, ns / 1e6))
            .collect();
        Some(Curve { name: peer.name().to_owned(), points, kind: kind(peer) })
    };
    let curves: Vec<_> = Peer::ALL.into_iter().filter_map(curve).collect();
    plot::distributions(section.scenario.name(), section.scenario.about(), &curves)
}

/// Whether one of so many requests is slower than this quantile. Where none is, there is only the slowest of all to show.
fn has_slower(quantile: f64, requests: usize) -> bool {
    // 1 - 0.9 is a little less than 0.1.
    (1.0 - quantile) * requests as f64 > 1.0 - 1e-6
}

/// The median at each quantile, with the quantile.
fn medians(of: &[&Distribution]) -> Vec<(f64, f64)> {
    let value = |at: usize| median(of.iter().filter_map(|each| each.0.get(at)).map(|ns| *ns as f64).collect());
    grid().into_iter().enumerate().map(|(at, quantile)| (quantile, value(at))).collect()
}

fn bars(section: &Section) -> String {
    let rounds = section.good();
    let figure = Figure::of(&section.spec)[0];
    let reference = if section.spec.is_closed() { Peer::Plain } else { Peer::Shared };
    let bar = |peer: Peer| {
        let ratio = ratio(&rounds, figure, peer, reference)?.median;
        Some(Bar { name: peer.name().to_owned(), ratio, kind: kind(peer) })
    };
    let bars: Vec<_> = Peer::ALL.into_iter().filter_map(bar).collect();
    let target = verdict::bound(section.scenario, figure, reference);
    plot::bars(section.scenario.name(), figure.name(), reference.name(), target, &bars)
}

fn kind(peer: Peer) -> Kind {
    match peer {
        Peer::Plain | Peer::PlainAgain | Peer::Hooked | Peer::Shared => Kind::Reference,
        _ if peer.is_ours() => Kind::Ours,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::example;

    #[test]
    fn a_curve_ends_where_its_requests_do() {
        assert!(has_slower(0.9, 10) && has_slower(0.9999, 10_000) && has_slower(0.0, 1));
        assert!(!has_slower(0.91, 10) && !has_slower(0.9999, 9_999) && !has_slower(0.0, 0));
    }

    #[test]
    fn a_curve_is_the_median_at_each_quantile() {
        let one = Distribution::of(&(1..=10_000).collect::<Vec<_>>());
        let other = Distribution(vec![100; grid().len()]);
        assert_eq!(medians(&[&one, &other, &other])[360], (0.9999, 100.0));
        assert_eq!(medians(&[&one, &one, &other])[50], (0.5, 5_000.0));
    }

    #[test]
    fn every_scenario_that_was_measured_has_its_pictures() {
        let dir = std::env::temp_dir().join(format!("llb-pictures-{}", std::process::id()));
        Pictures(dir.clone()).write(&example(5)).unwrap();
        let mut names: Vec<_> = fs::read_dir(&dir).unwrap().map(|file| file.unwrap().file_name()).collect();
        fs::remove_dir_all(&dir).unwrap();
        names.sort();
        assert_eq!(names, ["slow-one-ratios.svg", "slow-one.svg"]);
    }
}
