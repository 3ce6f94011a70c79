//! What the documentation says is true: its commands run, its examples serve, its links lead somewhere, the tests and
//! options that it names are there.
//!
//! A fenced block is run if its first line says so: "sh serve" is an `llb run` that comes up and answers on port
//! 8080; "sh run" ends with 0 beside a running fleet; "LANGUAGE worker KIND..." is a worker that answers on port 8080
//! and writes lines of these kinds on its channel, and no others. Each runs in a network namespace of its own.

mod fleet;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
};

use fleet::{LLB, Stage, wait};
use serde_json::Value;

/// Directories that have pages.
const PLACES: [&str; 3] = ["", "docs", "docs/design"];

/// Pages that everybody reads, and the most lines that each may have.
const SHORT: [(&str, usize); 2] = [("README.md", 130), ("ARCHITECTURE.md", 250)];

/// Lines of a page about one decision of the design.
const DESIGN_PAGE: usize = 80;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// Every page, by its path from the root.
fn pages() -> Vec<String> {
    let mut found = Vec::new();
    for place in PLACES {
        let entries = fs::read_dir(root().join(place)).unwrap_or_else(|error| panic!("{place}: {error}"));
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let pages = names.filter(|name| name.ends_with(".md"));
        found.extend(pages.map(|name| Path::new(place).join(name).into_os_string().into_string().unwrap()));
    }
    assert!(found.len() > 20, "{found:?}");
    found.sort();
    found
}

/// The anchors of a page's headings, as GitHub makes them: in lower case, without punctuation, hyphens for spaces.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut in_block = false;
    let headings = text.lines().filter(|line| {
        in_block ^= line.starts_with("```");
        !in_block && line.starts_with('#')
    });
    let anchor = |heading: &str| {
        let words = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        words.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
    };
    headings.map(anchor).collect()
}

/// A fenced block.
struct Block {
    page: String,
    info: Vec<String>,
    text: String,
}

/// The blocks whose information has `kind` as its second word. There is at least one, or nothing would be tested.
fn blocks(kind: &str) -> Vec<Block> {
    let mut found = Vec::new();
    for page in pages() {
        let text = read(&page);
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let Some(info) = line.strip_prefix("```") else { continue };
            let info: Vec<String> = info.split_whitespace().map(str::to_owned).collect();
            let text: String =
                lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect();
            if info.get(1).is_some_and(|word| word == kind) {
                found.push(Block { page: page.clone(), info, text });
            }
        }
    }
    assert!(!found.is_empty(), "no block is marked {kind:?}");
    found
}

/// Runs each block in a thread, and so a namespace, of its own.
fn each(blocks: Vec<Block>, run: fn(&Stage, &Block)) {
    for block in blocks {
        let shown = format!("{}:\n{}", block.page, block.text);
        let kind = block.info.join("-");
        let thread = thread::Builder::new().name(kind).spawn(move || run(&Stage::new(), &block)).unwrap();
        assert!(thread.join().is_ok(), "in {shown}");
    }
}

#[test]
fn workers_of_the_documentation_serve_and_report() {
    each(blocks("worker"), |stage, block| {
        let interpreter = match block.info[0].as_str() {
            "python" => "python3",
            "js" => "node",
            "sh" => "sh",
            other => panic!("no interpreter for {other}"),
        };
        fs::write(stage.path("worker"), &block.text).unwrap();
        let kinds: BTreeSet<&str> = block.info[2..].iter().map(String::as_str).collect();
        let when = if kinds.contains("ready") { "ready" } else { "listening" };
        let command = format!("llb run -n 2 --ready-when {when} -- {interpreter} worker");
        let mut fleet = stage.fleet(&command);
        fleet.ask();
        let reported = |status: &Value| -> BTreeSet<String> {
            let workers = status["workers"].as_array().unwrap().iter();
            workers.flat_map(|worker| worker["reports"].as_object().unwrap().keys().cloned()).collect()
        };
        let status = fleet.until("all kinds are reported", |status| reported(status).len() >= kinds.len());
        assert!(reported(&status).iter().eq(kinds.iter()), "{status:#}");
        assert_eq!(status["connections"], 8, "{status:#}");
        // They outlive llb, and that nobody reads their reports any more.
        fleet.kill();
        let mut next = stage.fleet(&command);
        next.ask();
        let status = next.until("all is counted", |status| status["connections"] == 16);
        for worker in status["workers"].as_array().unwrap() {
            assert_eq!((&worker["restarts"], &worker["last_exit"]), (&0.into(), &Value::Null), "{status:#}");
        }
        next.stop();
    });
}

#[test]
fn fleets_of_the_documentation_come_up_and_answer() {
    each(blocks("serve"), |stage, block| {
        let fleet = stage.fleet(&block.text);
        fleet.ask();
        fleet.stop();
    });
}

#[test]
fn commands_of_the_documentation_succeed_beside_a_fleet() {
    each(blocks("run"), |stage, block| {
        let fleet = stage.fleet("llb run -n 2 -- node server.js");
        let mut child = stage.shell(&block.text).stdout(Stdio::null()).spawn().unwrap();
        assert!(wait(&mut child).success());
        fleet.stop();
    });
}

#[test]
fn every_field_of_the_status_is_explained() {
    let run = |stage: &Stage, _: &Block| {
        let mut fleet = stage.fleet("llb run -n 1 -- node server.js");
        let status = fleet.until("it is up", |status| status["up"] == true);
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let page = read("docs/metrics.md") + &read("docs/events.md");
        let fields = [&status, &status["workers"][0], &status["slots"][0], &status["selector"], &status["groups"][0]];
        let events = String::from_utf8(stage.shell("llb events --json").output().unwrap().stdout).unwrap();
        let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let kinds = events.iter().map(|event| event["event"].as_str().unwrap().to_owned());
        let words = fields.into_iter().chain(&events).flat_map(keys).chain(kinds);
        for word in words.collect::<BTreeSet<_>>() {
            assert!(page.contains(&format!("`{word}`")), "neither docs/metrics.md nor docs/events.md explains {word}");
        }
        fleet.stop();
    };
    each(vec![Block { page: "docs/metrics.md".into(), info: vec!["status".into()], text: String::new() }], run);
}

#[test]
fn every_column_of_top_is_explained() {
    let run = |stage: &Stage, _: &Block| {
        let fleet = stage.fleet("llb run -n 1 -- node server.js");
        let frame = String::from_utf8(stage.shell("COLUMNS=300 llb top --once").output().unwrap().stdout).unwrap();
        let page = read("docs/top.md");
        let head = frame.lines().find(|line| line.contains("slot ")).unwrap_or_else(|| panic!("no table: {frame}"));
        let columns: Vec<&str> = head.split_whitespace().filter(|word| *word != "ms").collect();
        assert!(columns.len() > 10, "{frame}");
        for column in columns {
            let column = column.trim_start_matches(['*', '▾']);
            let is_there = page.contains(&format!("`{column}`")) || page.contains(&format!("`{column} ms`"));
            assert!(is_there, "docs/top.md does not explain {column}");
        }
        fleet.stop();
    };
    each(vec![Block { page: "docs/top.md".into(), info: vec!["top".into()], text: String::new() }], run);
}

#[test]
fn the_options_of_run_are_those_of_its_help() {
    let Output { stdout, .. } = Command::new(LLB).args(["run", "--help"]).output().unwrap();
    let help = String::from_utf8(stdout).unwrap();
    let of = |text: &str, is_definition: fn(&str) -> bool| -> BTreeSet<String> {
        let definitions = text.lines().map(str::trim_start).filter(|line| is_definition(line));
        let option = |line: &str| line.split(['`', ' ', ',']).find(|word| word.starts_with("--")).map(str::to_owned);
        definitions.filter_map(option).filter(|option| option != "--help").collect()
    };
    let helped = of(&help, |line| line.starts_with('-'));
    let documented = of(&read("docs/operating.md"), |line| line.starts_with("| `-"));
    assert!(helped.len() > 5, "{help}");
    assert_eq!(documented, helped);
}

#[test]
fn every_command_is_documented() {
    let Output { stdout, .. } = Command::new(LLB).arg("--help").output().unwrap();
    let help = String::from_utf8(stdout).unwrap();
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // A line that goes on is indented further.
    let names = commands.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    let names: Vec<&str> = names.filter_map(|line| line.split(' ').next()).collect();
    assert!(names.len() > 5, "{help}");
    let page = read("docs/operating.md") + &read("README.md");
    for name in names {
        assert!(page.contains(&format!("`llb {name}")), "llb {name} is not documented");
    }
}

#[test]
fn packages_and_compiler_are_named_by_their_versions() {
    let page = read("docs/install.md");
    let rust = env!("CARGO_PKG_RUST_VERSION");
    assert!(page.contains(&format!("Rust {rust} or newer")) && read("README.md").contains(&format!("Rust ({rust})")));
    for name in ["llb_VERSION-1_amd64.deb", "llb-VERSION-1.x86_64.rpm", "llb-VERSION-x86_64-linux.tar.gz"] {
        assert!(page.contains(&name.replace("VERSION", env!("CARGO_PKG_VERSION"))), "{name}");
    }
}

#[test]
fn every_link_leads_somewhere_and_every_named_test_is_there() {
    let mut tests = 0;
    for page in &pages() {
        let text = read(page);
        let directory = root().join(page).parent().unwrap().to_owned();
        for (before, target) in text.match_indices("](").map(|(at, _)| (&text[..at], &text[at + 2..])) {
            let target = target.split(')').next().unwrap();
            if target.contains("://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
            let path = if file.is_empty() { root().join(page) } else { directory.join(file) };
            assert!(path.exists(), "{page}: there is no {target}");
            if let Some(anchor) = anchor {
                let there = anchors(&fs::read_to_string(&path).unwrap());
                assert!(there.contains(anchor), "{page}: {target} leads to no heading; there are {there:?}");
            }
            // A link from `some_test` to a source file names a test in it.
            let label = before.rsplit('[').next().unwrap();
            if let Some(test) = label.strip_prefix('`').and_then(|label| label.strip_suffix('`'))
                && target.ends_with(".rs")
            {
                let source = fs::read_to_string(&path).unwrap();
                assert!(source.contains(&format!("fn {test}(")), "{page}: there is no test {test} in {target}");
                tests += 1;
            }
        }
    }
    assert!(tests > 5, "only {tests} tests are named");
}

#[test]
fn pages_stay_short() {
    for (page, most) in SHORT {
        let lines = read(page).lines().count();
        assert!(
            lines <= most,
            "{page} has {lines} lines, and {most} at most: what is not for everybody moves to docs/"
        );
    }
    for page in pages().iter().filter(|page| page.starts_with("docs/design/")) {
        let lines = read(page).lines().count();
        assert!(lines <= DESIGN_PAGE, "{page} has {lines} lines: it is more than one decision");
    }
}
