//! Where the pictures of a run are, and how a page shows them.

use std::path::{Path, PathBuf};

use super::scenario::Scenario;

/// The directory of the pictures.
#[derive(Clone, Debug)]
pub(super) struct Pictures(pub(super) PathBuf);

impl Pictures {
    /// Markdown that shows a scenario's pictures on this page.
    pub(super) fn shown_on(&self, page: &Path, scenario: Scenario) -> String {
        let beside = page.parent().and_then(|parent| self.0.strip_prefix(parent).ok()).unwrap_or(&self.0).display();
        let name = scenario.name();
        format!("\n![Latencies in {name}]({beside}/{name}.svg)\n\n![Ratios in {name}]({beside}/{name}-ratios.svg)\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_links_to_what_lies_below_it() {
        let shown = Pictures("docs/plots".into()).shown_on(Path::new("docs/benchmarks.md"), Scenario::Cheap);
        assert!(shown.contains("(plots/cheap.svg)") && shown.contains("(plots/cheap-ratios.svg)"), "{shown}");
        assert!(Pictures("/x".into()).shown_on(Path::new("docs/p.md"), Scenario::Cheap).contains("(/x/cheap.svg)"));
    }
}
