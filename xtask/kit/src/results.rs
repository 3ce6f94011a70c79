//! What the test runners say at their end, and whether that is enough.

use anyhow::{Result, ensure};

/// A test binary, a part of one, or the documentation tests of a crate.
#[derive(Debug, PartialEq, Eq)]
pub struct Suite {
    /// As cargo announces it.
    pub name: String,
    /// The runner's closing lines. Documentation tests have two when some could not be compiled into one binary.
    pub closing: Vec<String>,
    /// Their sum.
    pub tally: Tally,
    /// Where tests panicked and what they said, a few lines of each.
    panics: Vec<String>,
}

/// Of what a panic says. Some show a whole status.
const LINES_OF_A_PANIC: usize = 8;

/// How many tests ended how.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Without failing.
    pub passed: u64,
    failed: u64,
    ignored: u64,
    filtered: u64,
}

/// Fails on whatever failed or did not run, and on having run nothing: not every crate has unit tests.
pub fn check_all(suites: &[Suite]) -> Result<()> {
    all_well(suites.iter().map(|suite| (suite, suite.check())))?;
    ensure!(suites.iter().any(|suite| suite.tally.passed > 0), "not a single test ran");
    Ok(())
}

/// Fails unless of each suite as many tests passed as were wanted.
pub fn check_parts<'a>(parts: impl Iterator<Item = (&'a Suite, usize)>) -> Result<()> {
    all_well(parts.map(|(suite, wanted)| (suite, suite.check_part(wanted))))
}

/// Tells of all that failed, with what it said.
fn all_well<'a>(verdicts: impl Iterator<Item = (&'a Suite, Result<()>)>) -> Result<()> {
    let told =
        |(suite, verdict): (&Suite, Result<()>)| Some(format!("{:#}\n{}", verdict.err()?, suite.panics.join("\n")));
    let failed: Vec<String> = verdicts.filter_map(told).collect();
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

impl Suite {
    /// Fails unless it came to its end and each test passed.
    fn check(&self) -> Result<()> {
        self.check_end()?;
        let skipped = self.tally.ignored + self.tally.filtered;
        ensure!(
            skipped == 0,
            "{}: {skipped} tests were skipped; make them run or delete them, a skipped test proves nothing",
            self.name
        );
        Ok(())
    }

    /// Fails unless it came to its end and so many tests passed: the others of its program run elsewhere, or nowhere on purpose.
    pub fn check_part(&self, wanted: usize) -> Result<()> {
        self.check_end()?;
        let Suite { name, tally, .. } = self;
        ensure!(wanted > 0, "{name} has no test; give it one or delete it");
        ensure!(
            tally.passed == wanted as u64,
            "{name}: {} tests ran, and not {wanted}; make them run or delete them, a skipped test proves nothing",
            tally.passed
        );
        Ok(())
    }

    fn check_end(&self) -> Result<()> {
        let Suite { name, closing, tally, .. } = self;
        ensure!(!closing.is_empty(), "{name} ended without a `test result:` line");
        ensure!(tally.failed == 0, "{name}: {} tests failed", tally.failed);
        Ok(())
    }
}

/// Reads cargo's and the runners' output.
pub fn read(output: &str) -> Vec<Suite> {
    let mut suites: Vec<Suite> = Vec::new();
    let mut lines = output.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(name) = announced(line) {
            suites.push(Suite {
                name: name.to_owned(),
                closing: Vec::new(),
                tally: Tally::default(),
                panics: Vec::new(),
            });
        } else if let (true, Some(suite)) = (is_panic(line), suites.last_mut()) {
            let mut panic = vec![line];
            while let Some(said) = lines.next_if(|line| panic.len() < LINES_OF_A_PANIC && !ends_panic(line)) {
                panic.push(said);
            }
            suite.panics.push(panic.join("\n"));
        } else if let (Some(tally), Some(suite)) = (tally(line), suites.last_mut()) {
            suite.closing.push(line.to_owned());
            suite.tally.add(tally);
        }
    }
    suites
}

impl Tally {
    fn add(&mut self, more: Self) {
        self.passed += more.passed;
        self.failed += more.failed;
        self.ignored += more.ignored;
        self.filtered += more.filtered;
    }
}

/// The suite's name in `     Running tests/kernel.rs (target/...)` and `   Doc-tests llb_common`.
fn announced(line: &str) -> Option<&str> {
    let indented = line.strip_prefix("   ")?.trim_start();
    let is_binary = indented.starts_with("Running ") && indented.ends_with(')');
    (is_binary || indented.starts_with("Doc-tests ")).then_some(indented)
}

/// `thread 'name' (1) panicked at tests/kernel.rs:1:1:`
fn is_panic(line: &str) -> bool {
    line.starts_with("thread '") && line.contains(" panicked at ")
}

fn ends_panic(line: &str) -> bool {
    line.is_empty() || line.starts_with("stack backtrace:") || line.starts_with("note: ")
}

/// The counts in `test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s`.
fn tally(line: &str) -> Option<Tally> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let count =
        |what: &str| counts.split("; ").find_map(|part| part.strip_suffix(what)?.trim_end().parse::<u64>().ok());
    Some(Tally {
        passed: count("passed")?,
        failed: count("failed")?,
        ignored: count("ignored")?,
        filtered: count("filtered out")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite(name: &str, counts: &str) -> String {
        format!(
            "     Running {name} (target/debug/deps/x-1)\n\nrunning n tests\ntest a ... ok\n\n{}\n",
            closing(counts)
        )
    }

    fn closing(counts: &str) -> String {
        format!("test result: ok. {counts}; 0 measured; 0 filtered out; finished in 0.01s")
    }

    fn verdict(output: &str) -> Result<(), String> {
        check_all(&read(output)).map_err(|error| error.to_string())
    }

    /// Of a program from which so many tests were wanted each time.
    fn verdict_of_parts(output: &str, wanted: usize) -> Result<(), String> {
        let suites = read(output);
        check_parts(suites.iter().map(|suite| (suite, wanted))).map_err(|error| error.to_string())
    }

    #[test]
    fn suites_are_told_apart() {
        let output = suite("unittests src/lib.rs", "3 passed; 0 failed; 0 ignored")
            + &suite("tests/kernel.rs", "4 passed; 0 failed; 1 ignored");
        let suites = read(&output);
        assert_eq!(suites.len(), 2);
        assert_eq!(suites[1].name, "Running tests/kernel.rs (target/debug/deps/x-1)");
        assert_eq!(suites[1].tally, Tally { passed: 4, ignored: 1, ..Tally::default() });
        assert_eq!(suites[1].closing, [closing("4 passed; 0 failed; 1 ignored")]);
    }

    #[test]
    fn documentation_tests_add_up() {
        let one = closing("2 passed; 0 failed; 0 ignored");
        let suites = read(&format!("   Doc-tests llb\n{one}\n{one}\n"));
        assert_eq!(suites[0].tally.passed, 4);
        assert_eq!(suites[0].closing.len(), 2);
    }

    #[test]
    fn a_skipped_test_fails() {
        let output = suite("tests/kernel.rs", "4 passed; 0 failed; 1 ignored");
        assert!(verdict(&output).unwrap_err().contains("1 tests were skipped"));
        let filtered = output.replace("1 ignored", "0 ignored").replace("0 filtered", "7 filtered");
        assert!(verdict(&filtered).unwrap_err().contains("7 tests were skipped"));
    }

    #[test]
    fn nothing_run_fails() {
        let nothing = suite("unittests src/main.rs", "0 passed; 0 failed; 0 ignored");
        let something = suite("unittests src/lib.rs", "3 passed; 0 failed; 0 ignored");
        assert!(verdict("").is_err());
        assert!(verdict(&nothing).is_err());
        assert_eq!(verdict(&(nothing.clone() + &something)), Ok(()));
    }

    #[test]
    fn each_part_runs_what_is_wanted() {
        let three = suite("life", "3 passed; 0 failed; 0 ignored").replace("0 filtered", "400 filtered");
        assert_eq!(verdict_of_parts(&(three.clone() + &three), 3), Ok(()));
        let two = suite("go", "2 passed; 0 failed; 1 ignored");
        assert!(
            verdict_of_parts(&(three.clone() + &two), 3)
                .unwrap_err()
                .contains("go (target/debug/deps/x-1): 2 tests ran")
        );
        let none = suite("go", "0 passed; 0 failed; 0 ignored");
        assert!(verdict_of_parts(&none, 0).unwrap_err().contains("has no test"));
        let failed = suite("go", "3 passed; 1 failed; 0 ignored");
        assert!(verdict_of_parts(&failed, 3).unwrap_err().contains("1 tests failed"));
    }

    #[test]
    fn all_that_failed_is_told_with_what_it_said() {
        let panic = "thread 'a' (1) panicked at tests/life.rs:1:1:\nit is late\nstack backtrace:\n  0: main\n";
        let failed = |name: &str| format!("{panic}{}", suite(name, "4 passed; 1 failed; 0 ignored"));
        // A panic is of the suite that was announced before.
        let output = suite("first", "1 passed; 1 failed; 0 ignored") + &failed("second") + panic;
        let told = verdict(&output).unwrap_err();
        let said = "thread 'a' (1) panicked at tests/life.rs:1:1:\nit is late";
        for part in ["Running first", "Running second", &format!("1 tests failed\n{said}\nRunning"), said] {
            assert!(told.contains(part), "{part:?}: {told}");
        }
        assert!(!told.contains("main"), "{told}");
    }

    #[test]
    fn a_suite_that_died_fails() {
        let output = "     Running tests/kernel.rs (target/debug/deps/kernel-1)\nrunning 3 tests\n";
        assert!(verdict(output).unwrap_err().contains("without a `test result:` line"));
    }
}
