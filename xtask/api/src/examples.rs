//! Whether each public function and type occurs in an example: in what a reader sees of a documentation test's code, or in a
//! file of `examples/`. It is looked for by its name as a word, so a name that two items share is found once for both; `use`
//! shows nobody how, and does not count.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// The functions and types in a list of the public API that are in no example.
pub(super) fn missing<'a>(api: &'a str, words: &BTreeSet<String>) -> Vec<&'a str> {
    named(api).into_iter().filter(|item| !words.contains(&name_of(item))).collect()
}

/// Each function and type. What a trait asks for is the trait's to show.
fn named(api: &str) -> Vec<&str> {
    let mut implementor = None;
    let mut items = Vec::new();
    for line in api.lines() {
        if line.starts_with("impl") {
            implementor = line.split_once(" for ").map(|(_, of)| of.split(" where ").next().unwrap_or(of));
            continue;
        }
        let mut words = line.split(' ').skip_while(|word| ["pub", "const", "async", "unsafe"].contains(word));
        let is_asked_for = words.next().is_some_and(|kind| ["fn", "struct", "enum", "trait", "type"].contains(&kind));
        let Some(at) = line.find("llb").filter(|_| is_asked_for) else { continue };
        let item = line[at..].split_once('(').map_or(&line[at..], |(item, _)| item);
        let item = item.split_once(" = ").map_or(item, |(item, _)| item);
        let is_traits = implementor.is_some_and(|of| item.strip_prefix(of).is_some_and(|rest| rest.starts_with("::")));
        if !is_traits {
            items.push(item);
        }
    }
    items
}

/// The last word of a path, without generics.
fn name_of(item: &str) -> String {
    let mut depth = 0;
    let mut plain = String::new();
    for c in item.chars() {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            c if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    plain.rsplit("::").next().unwrap_or_default().to_owned()
}

/// The words of all examples: of the documentation tests of a crate's `sources`, and of the `programs` in some directories.
pub(super) fn words(sources: &Path, programs: &[&Path]) -> Result<BTreeSet<String>> {
    let mut words = BTreeSet::new();
    for text in texts(sources)? {
        words.extend(words_of(&documented(&text)));
    }
    for directory in programs.iter().filter(|directory| directory.exists()) {
        texts(directory)?.iter().for_each(|text| words.extend(words_of(text)));
    }
    Ok(words)
}

/// What the Rust files in a directory say.
fn texts(directory: &Path) -> Result<Vec<String>> {
    let read = |file: PathBuf| fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()));
    rust_files(directory)?.into_iter().map(read).collect()
}

fn rust_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

/// The code of a file's documentation tests that a reader sees.
fn documented(text: &str) -> String {
    let mut code = String::new();
    let mut block = None;
    for line in text.lines().map(str::trim_start) {
        let Some(doc) = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")).map(str::trim) else { continue };
        match (doc.strip_prefix("```"), block) {
            (Some(language), None) => block = Some(["", "rust", "no_run", "should_panic"].contains(&language)),
            (Some(_), Some(_)) => block = None,
            (None, Some(true)) if doc != "#" && !doc.starts_with("# ") => code += &format!("{doc}\n"),
            (None, _) => {}
        }
    }
    code
}

/// The words of some code, without those of its comments and imports.
fn words_of(code: &str) -> BTreeSet<String> {
    let code: Vec<&str> = code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join("\n");
    let statements = code.split_inclusive(';').map(str::trim_start).filter(|statement| !statement.starts_with("use "));
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    statements.flat_map(|statement| statement.split(|c| !is_part(c))).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const API: &str = "pub mod llb
pub struct llb::Clock(_)
impl llb::Clock
pub const fn llb::Clock::read(&self) -> u64
impl core::fmt::Display for llb::Clock
pub fn llb::Clock::fmt(&self, &mut core::fmt::Formatter<'_>) -> core::fmt::Result
pub const llb::LIMIT: u32
pub trait llb::Tick
pub type llb::Tick::Of
pub struct llb::Ticks<'a>
pub llb::Ticks::clock: llb::Clock
impl core::iter::Iterator for llb::Ticks<'_>
pub type llb::Ticks<'_>::Item = u64
pub fn llb::Ticks<'_>::next(&mut self) -> core::option::Option<u64>
pub async fn llb::run<T: llb::Tick>(llb::Clock) -> u64
";

    #[test]
    fn functions_and_types_are_asked_for_and_not_what_a_trait_asks_for() {
        let names: Vec<String> = named(API).into_iter().map(name_of).collect();
        assert_eq!(names, ["Clock", "read", "Tick", "Of", "Ticks", "run"]);
    }

    #[test]
    fn what_is_in_no_example_is_found() {
        let source = "
/// A clock. It does not stop.
/// ```
/// use llb::{Clock,
///     Ticks};
/// # let tick: Tick = hidden();
/// let clock: Clock = it(); // read
/// ```
/// ```text
/// run
/// ```
fn stop() {}
";
        let words = words_of(&documented(source));
        assert_eq!(
            missing(API, &words),
            ["llb::Clock::read", "llb::Tick", "llb::Tick::Of", "llb::Ticks<'a>", "llb::run<T: llb::Tick>"]
        );
        let all = words_of("Clock.read(); Ticks::Of; fn run() -> impl Tick {}");
        assert_eq!(missing(API, &all), Vec::<&str>::new());
    }
}
