//! A page of which each set writes its own section.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::run::write;

/// Puts a section that begins with this heading into the page in a file, which there need not be.
pub(super) fn put(file: &Path, heading: &str, section: &str) -> Result<()> {
    let page = fs::read_to_string(file).unwrap_or_default();
    write(file, &with(&page, heading, section))
}

/// The page with this section in the place of the one it has, or at its end.
fn with(page: &str, heading: &str, section: &str) -> String {
    let Some(begin) = page.find(heading) else { return format!("{}\n\n{section}", page.trim_end()) };
    let after = begin + heading.len();
    let end = page[after..].find("\n## ").map_or(page.len(), |end| after + end);
    format!("{}{section}{}", &page[..begin], &page[end..])
}

#[cfg(test)]
mod tests {
    use super::with;

    #[test]
    fn the_section_takes_the_place_of_the_one_before() {
        let (heading, section) = ("## traffic\n", "## traffic\n\nnew\n");
        assert_eq!(with("# A\n", heading, section), "# A\n\n## traffic\n\nnew\n");
        let page = "# A\n\n## traffic\n\nold\n\n## why\n\nso\n";
        assert_eq!(with(page, heading, section), "# A\n\n## traffic\n\nnew\n\n## why\n\nso\n");
        assert_eq!(with(&with(page, heading, section), heading, section), with(page, heading, section));
    }
}
