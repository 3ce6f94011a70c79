//! Merges what the workers say: each family once, and each series with the slot that it is from.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt::Write,
};

use super::parse::{Family, Sample};

/// The label that each series gets, and what one of that name becomes, as Prometheus would have it.
const SLOT: &str = "slot";
const EXPORTED_SLOT: &str = "exported_slot";

/// What llb says of the workers itself begins so, in this text.
const OWN: &str = "llb_worker_scrape_";

/// Families by name, each with its series by slot.
#[derive(Debug, Default)]
pub(super) struct Merged(BTreeMap<String, Family>);

impl Merged {
    /// Adds what a slot's worker says. A family whose type is not the one that another worker gave it, as while new code is
    /// rolled out, is left out: returns how many are.
    pub(super) fn add(&mut self, slot: u32, families: BTreeMap<String, Family>) -> u32 {
        let mut left_out = 0;
        for (name, family) in families {
            let is_own = name.starts_with(OWN);
            match self.0.entry(name) {
                _ if is_own => left_out += 1,
                Entry::Vacant(entry) => {
                    let samples = family.samples.into_iter().map(|sample| of_slot(sample, slot)).collect();
                    entry.insert(Family { samples, ..family });
                }
                Entry::Occupied(mut entry) if entry.get().kind == family.kind => {
                    entry.get_mut().samples.extend(family.samples.into_iter().map(|sample| of_slot(sample, slot)));
                }
                Entry::Occupied(_) => left_out += 1,
            }
        }
        left_out
    }

    /// In Prometheus' text format.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (name, Family { help, kind, samples }) in &self.0 {
            if let Some(help) = help {
                // A string takes whatever is written, here and below.
                let _ = writeln!(text, "# HELP {name} {help}");
            }
            let _ = writeln!(text, "# TYPE {name} {}", kind.as_deref().unwrap_or("untyped"));
            for Sample { name, labels, value } in samples {
                let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
                let _ = writeln!(text, "{name}{{{}}} {value}", labels.join(","));
            }
        }
        text
    }
}

fn of_slot(sample: Sample, slot: u32) -> Sample {
    let rename = |name: String| if name == SLOT { EXPORTED_SLOT.to_owned() } else { name };
    let own = (SLOT.to_owned(), slot.to_string());
    let labels = sample.labels.into_iter().map(|(name, value)| (rename(name), value));
    Sample { labels: std::iter::once(own).chain(labels).collect(), ..sample }
}

#[cfg(test)]
mod tests {
    use super::{super::parse::parse, Merged};

    #[test]
    fn each_family_is_there_once_with_every_slot() {
        let mut merged = Merged::default();
        let text = "# HELP hits Hits.\n# TYPE hits counter\nhits{path=\"/\",slot=\"a\"} 3\n# TYPE took histogram\n\
                    took_bucket{le=\"+Inf\"} 1\ntook_sum 2\ntook_count 1\n";
        assert_eq!(merged.add(0, parse(text, false).unwrap()), 0);
        assert_eq!(merged.add(7, parse("# TYPE hits counter\nhits 4\nlone 1\n", false).unwrap()), 0);
        assert_eq!(
            merged.text(),
            "# HELP hits Hits.\n# TYPE hits counter\nhits{slot=\"0\",path=\"/\",exported_slot=\"a\"} 3\nhits{slot=\"7\"} 4\n\
             # TYPE lone untyped\nlone{slot=\"7\"} 1\n\
             # TYPE took histogram\ntook_bucket{slot=\"0\",le=\"+Inf\"} 1\ntook_sum{slot=\"0\"} 2\ntook_count{slot=\"0\"} 1\n"
        );
    }

    #[test]
    fn a_family_of_another_type_is_left_out() {
        let mut merged = Merged::default();
        merged.add(0, parse("# TYPE hits counter\nhits 3\n", false).unwrap());
        assert_eq!(merged.add(1, parse("# TYPE hits gauge\nhits 4\nfine 1\n", false).unwrap()), 1);
        assert_eq!(merged.add(2, parse("llb_worker_scrape_success 4\n", false).unwrap()), 1, "llb's own name");
        assert!(!merged.text().contains(" 4\n") && merged.text().contains("fine{slot=\"1\"} 1\n"), "{}", merged.text());
    }
}
