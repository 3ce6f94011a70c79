//! The suites that a test program consists of: its modules. Each runs in a process of its own, and some have a place of their own
//! in the order.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use llb_kit::sh;

/// What tells how late an answer may come, or how fast the machine must be, runs with nothing beside it.
const ALONE: [&str; 14] = [
    "answering_errors",
    "chaos",
    "concurrency",
    "failing",
    "flood",
    "full_line",
    "hanging",
    "loop_turns",
    "many",
    "master",
    "publishing",
    "rescue",
    "scale",
    "traffic",
];

/// What takes longest, first: the other lanes have enough left meanwhile.
const LONG: [&str; 19] = [
    "storm",
    "bench_here",
    "agent",
    "quic",
    "go",
    "udp",
    "line",
    "reload",
    "canary",
    "drain",
    "docs",
    "life",
    "http3",
    "short",
    "top",
    "reports",
    "examples",
    "standby",
    "recycle",
];

/// The suites that run once more where no BPF file system is mounted: what pins, sweeps pins or says where they are.
const OF_PINS: [&str; 8] = ["commands", "doctor", "embedded", "errors", "life", "rights", "succession", "takeover"];

/// A module of a test program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Module {
    pub name: String,
    /// With the module's name, as the runner knows them.
    pub tests: Vec<String>,
}

impl Module {
    /// Whether nothing may run beside it.
    pub(super) fn is_alone(&self) -> bool {
        ALONE.contains(&&*self.name)
    }
}

/// All modules of a program, those that take longest first. Each of its tests is in one of them.
pub(super) fn of(program: &Path) -> Result<Vec<Module>> {
    let listed = sh::output(Command::new(program).args(["--list", "--format", "terse"]))?;
    let mut modules = modules(&listed)?;
    modules.sort_by_key(|module| LONG.iter().position(|long| *long == module.name).unwrap_or(LONG.len()));
    Ok(modules)
}

/// Those of these names, all of which are there.
pub(super) fn named(modules: &[Module], names: &[&str]) -> Result<Vec<Module>> {
    let find =
        |name: &&str| modules.iter().find(|module| module.name == **name).with_context(|| format!("no suite {name}"));
    names.iter().map(|name| find(name).cloned()).collect()
}

/// Those that run once more without a BPF file system.
pub(super) fn of_pins(modules: &[Module]) -> Result<Vec<Module>> {
    named(modules, &OF_PINS)
}

/// What a program lists: `life::a_test: test`, sorted by name or not.
fn modules(listed: &str) -> Result<Vec<Module>> {
    let mut modules: Vec<Module> = Vec::new();
    for line in listed.lines() {
        let test = line.strip_suffix(": test").with_context(|| format!("`{line}` is no test"))?;
        let (name, _) = test.split_once("::").with_context(|| format!("{test} is in no module"))?;
        match modules.iter_mut().find(|module| module.name == name) {
            Some(module) => module.tests.push(test.to_owned()),
            None => modules.push(Module { name: name.to_owned(), tests: vec![test.to_owned()] }),
        }
    }
    ensure!(!modules.is_empty(), "the program has no test");
    Ok(modules)
}

#[cfg(test)]
mod tests {
    use llb_kit::paths;

    use super::*;

    fn module(name: &str, tests: &[&str]) -> Module {
        Module { name: name.to_owned(), tests: tests.iter().map(|test| (*test).to_owned()).collect() }
    }

    #[test]
    fn each_test_is_in_one_module() {
        let listed = "recycle::a: test\nrecycling::recycle::b: test\nrecycle::c: test\n";
        let read = modules(listed).unwrap();
        let expected =
            [module("recycle", &["recycle::a", "recycle::c"]), module("recycling", &["recycling::recycle::b"])];
        assert_eq!(read, expected);
        assert!(modules("").is_err());
        assert!(modules("of_no_module: test").unwrap_err().to_string().contains("of_no_module is in no module"));
        assert!(modules("go::a: benchmark").is_err());
    }

    #[test]
    fn whoever_is_named_must_be_there() {
        let all = [module("life", &["life::a"]), module("go", &["go::a"])];
        assert_eq!(named(&all, &["go"]).unwrap(), [all[1].clone()]);
        assert!(named(&all, &["go", "lives"]).unwrap_err().to_string().contains("no suite lives"));
    }

    #[test]
    fn what_is_named_is_there() {
        for name in ALONE.iter().chain(&LONG).chain(&OF_PINS) {
            assert!(paths::root().join("tests").join(name).with_extension("rs").exists(), "{name}");
        }
    }

    #[test]
    fn every_file_of_tests_is_a_module() {
        let tests = paths::root().join("tests");
        let main = std::fs::read_to_string(tests.join("main.rs")).unwrap();
        let files = std::fs::read_dir(tests).unwrap().map(|entry| entry.unwrap().path());
        for file in files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")) {
            let name = file.file_stem().unwrap().to_str().unwrap();
            assert!(name == "main" || main.contains(&format!("\nmod {name};\n")), "tests/main.rs has no `mod {name};`");
        }
    }
}
