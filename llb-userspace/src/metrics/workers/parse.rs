//! Reads what a worker says of itself, in Prometheus' text format or OpenMetrics, family by family.

use std::collections::BTreeMap;

/// Suffixes of a sample's name that are no part of its family's, by the family's type.
const OF_HISTOGRAM: [&str; 3] = ["_bucket", "_sum", "_count"];
const OF_SUMMARY: [&str; 2] = ["_sum", "_count"];

/// A line that is no metric.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is no metric: {text}")]
pub(super) struct NotUnderstood {
    line: usize,
    text: String,
}

/// What is said of one metric, in the text format.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Family {
    /// As the text has it.
    pub help: Option<String>,
    /// `counter` and so on; none: untyped.
    pub kind: Option<String>,
    pub samples: Vec<Sample>,
}

/// One series: its labels as they are written, without braces, and what follows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub name: String,
    pub labels: Vec<(String, String)>,
    /// Value, and time if there is one.
    pub value: String,
}

/// The families of a text, by name.
///
/// # Errors
/// [`NotUnderstood`]: then nothing of it is to be believed.
pub(super) fn parse(text: &str, is_open_metrics: bool) -> Result<BTreeMap<String, Family>, NotUnderstood> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    // Only OpenMetrics has names of families that differ from those of their samples.
    let mut renamed: BTreeMap<String, String> = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let wrong = || NotUnderstood { line: number + 1, text: line.chars().take(80).collect() };
        let line = line.trim();
        if let Some(comment) = line.strip_prefix('#') {
            let mut words = comment.trim_start().splitn(3, [' ', '\t']);
            match (words.next(), words.next(), words.next()) {
                (Some("TYPE"), Some(name), Some(kind)) => {
                    let (new, kind) = in_text_format(name, kind.trim(), is_open_metrics);
                    if new != name {
                        let told = families.remove(name).unwrap_or_default();
                        families.entry(new.clone()).or_insert(told);
                        renamed.insert(name.to_owned(), new.clone());
                    }
                    families.entry(new).or_default().kind = Some(kind);
                }
                (Some("HELP"), Some(name), help) => {
                    let name = renamed.get(name).map_or(name, String::as_str);
                    families.entry(name.to_owned()).or_default().help = Some(help.unwrap_or_default().to_owned());
                }
                // Comments, and OpenMetrics' UNIT and EOF.
                _ => {}
            }
            continue;
        }
        if line.is_empty() {
            continue;
        }
        let mut sample = sample(line).ok_or_else(wrong)?;
        if is_open_metrics {
            if is_creation_time(&sample.name, &families) {
                continue;
            }
            // Exemplars and times, which are seconds there.
            sample.value = sample.value.split(' ').next().unwrap_or_default().to_owned();
        }
        let family = family_of(&sample.name, &families).to_owned();
        families.entry(family).or_default().samples.push(sample);
    }
    families.retain(|_, family| !family.samples.is_empty());
    Ok(families)
}

/// The name and type of a family, as the text format has them.
fn in_text_format(name: &str, kind: &str, is_open_metrics: bool) -> (String, String) {
    if !is_open_metrics {
        return (name.to_owned(), kind.to_owned());
    }
    match kind {
        "counter" => (format!("{name}_total"), kind.to_owned()),
        "info" => (format!("{name}_info"), "gauge".to_owned()),
        "stateset" => (name.to_owned(), "gauge".to_owned()),
        "gauge" | "histogram" | "summary" => (name.to_owned(), kind.to_owned()),
        _ => (name.to_owned(), "untyped".to_owned()),
    }
}

/// Whether this says when a series of OpenMetrics began, for which the text format has no place.
fn is_creation_time(name: &str, families: &BTreeMap<String, Family>) -> bool {
    name.strip_suffix("_created")
        .is_some_and(|base| families.contains_key(base) || families.contains_key(&format!("{base}_total")))
}

fn family_of<'a>(name: &'a str, families: &BTreeMap<String, Family>) -> &'a str {
    let is = |base: &str, kind: &str| families.get(base).is_some_and(|family| family.kind.as_deref() == Some(kind));
    let base = |suffixes: &[&str], kind| {
        suffixes.iter().filter_map(|suffix| name.strip_suffix(suffix)).find(|base| is(base, kind))
    };
    base(&OF_HISTOGRAM, "histogram").or_else(|| base(&OF_SUMMARY, "summary")).unwrap_or(name)
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(|letter: char| !is_of_name(letter)).filter(|end| *end > 0)?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    rest = rest.trim_start();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner.trim_start();
        loop {
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (label, after) = rest.split_once('=')?;
            let label = label.trim();
            let (value, after) = quoted(after.trim_start())?;
            if label.is_empty() || !label.chars().all(is_of_name) {
                return None;
            }
            labels.push((label.to_owned(), value.to_owned()));
            rest = after.trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        }
    }
    let value = rest.trim();
    is_number(value.split([' ', '\t']).next()?).then(|| Sample {
        name: name.to_owned(),
        labels,
        value: value.to_owned(),
    })
}

/// What stands between quotes, escaped as it was, and what follows.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('"')?;
    let mut is_escaped = false;
    for (at, letter) in text.char_indices() {
        match letter {
            '"' if !is_escaped => return Some((&text[..at], &text[at + 1..])),
            letter => is_escaped = letter == '\\' && !is_escaped,
        }
    }
    None
}

fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':')
}

fn is_number(text: &str) -> bool {
    // Rust reads what Prometheus does: NaN, +Inf, 1e3.
    text.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::{Sample, parse};

    fn labels(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn families_are_read_with_their_samples() {
        let text = "# HELP hits Hits so far.\n# TYPE hits counter\nhits{path=\"/a,b}\\\"\",code=\"200\"} 3 1700000000000\nhits 4\n\n\
                    # a comment\n# TYPE took histogram\ntook_bucket{le=\"+Inf\"} 2\ntook_sum 0.5\ntook_count 2\n\
                    took_counted 1\nlone{} NaN\n";
        let families = parse(text, false).unwrap();
        assert_eq!(families.keys().collect::<Vec<_>>(), ["hits", "lone", "took", "took_counted"]);
        let hits = &families["hits"];
        assert_eq!((hits.help.as_deref(), hits.kind.as_deref()), (Some("Hits so far."), Some("counter")));
        let first = Sample {
            name: "hits".into(),
            labels: labels(&[("path", "/a,b}\\\""), ("code", "200")]),
            value: "3 1700000000000".into(),
        };
        assert_eq!((hits.samples.len(), &hits.samples[0]), (2, &first));
        assert_eq!(families["took"].samples.len(), 3);
    }

    #[test]
    fn openmetrics_becomes_the_text_format() {
        let text = "# HELP hits Hits.\n# TYPE hits counter\n# UNIT hits things\nhits_total 3 1700000000.5 # {id=\"x\"} 1\nhits_created 17\n\
                    # TYPE build info\nbuild_info{v=\"1\"} 1\n# TYPE odd unknown\nodd 1\n# EOF\n";
        let families = parse(text, true).unwrap();
        let kinds: Vec<_> = families.iter().map(|(name, family)| (name.as_str(), family.kind.as_deref())).collect();
        assert_eq!(kinds, [("build_info", Some("gauge")), ("hits_total", Some("counter")), ("odd", Some("untyped"))]);
        assert_eq!(families["hits_total"].help.as_deref(), Some("Hits."));
        assert_eq!(families["hits_total"].samples[0].value, "3");
    }

    #[test]
    fn what_is_no_metric_is_told_by_its_line() {
        for text in ["<html>", "hits", "hits{a=\"1} 2", "hits{a} 2", "hits three", "{} 1"] {
            let error = parse(&format!("fine 1\n{text}\n"), false).unwrap_err().to_string();
            assert!(error.starts_with("line 2 is no metric: "), "{error}");
        }
    }
}
