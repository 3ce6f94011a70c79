//! A worker takes fifteen lines, in any language: those in examples/short, as docs/worker-contract.md shows them, do what they
//! say under llb, and serve on when it dies. tests/docs.rs runs the page's own text of those that an interpreter runs.

use std::{fs, path::Path};

use crate::harness::example::{Example, path};

/// All lines of a file but those that are empty or nothing but a comment.
const MOST: usize = 15;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/worker-contract.md");

fn stands_it_all(example: &Example) {
    example.serves_and_reports();
    example.is_reloaded_without_loss();
    example.outlives_llb();
    example.serves_alone();
}

#[test]
fn fifteen_lines_of_node() {
    let example = Example::new("node", "short/worker.js", &["latency", "pong", "ready"]);
    stands_it_all(&example);
    example.waits_for_no_reader();
    example.finishes_when_it_is_told_to();
}

#[test]
fn fifteen_lines_of_python() {
    stands_it_all(&Example::new("python3", "short/worker.py", &["pong", "ready"]));
}

#[test]
fn fifteen_lines_of_go() {
    stands_it_all(&Example::go("short/worker.go", &["pong", "ready"]));
}

#[test]
fn fifteen_lines_of_shell() {
    stands_it_all(&Example::new("sh", "short/worker.sh", &["pong", "ready"]));
}

#[test]
fn each_has_at_most_fifteen_lines_and_is_what_the_documentation_shows() {
    let page = fs::read_to_string(PAGE).expect("the page");
    let mut languages = Vec::new();
    for file in fs::read_dir(path("short")).expect("the short examples") {
        let file = file.expect("a file").path();
        let text = fs::read_to_string(&file).expect("a text");
        let extension = file.extension().and_then(|extension| extension.to_str()).expect("a language");
        let lines = lines(&text);
        assert!((1..=MOST).contains(&lines.len()), "{}: {} lines: {lines:#?}", file.display(), lines.len());
        let name = file.file_name().map(Path::new).expect("a name").display().to_string();
        let shown =
            page.split("\n```").any(|block| block.split_once('\n').is_some_and(|(_, shown)| shown == text.trim_end()));
        assert!(shown, "the page does not show {name} as it is");
        languages.push(extension.to_owned());
    }
    languages.sort();
    assert_eq!(languages, ["go", "js", "py", "sh"]);
}

/// Imports and brackets count; a line of a comment alone does not.
fn lines(text: &str) -> Vec<&str> {
    let is_code = |line: &&str| !line.is_empty() && !line.starts_with("//") && !line.starts_with('#');
    text.lines().map(str::trim).filter(is_code).collect()
}
