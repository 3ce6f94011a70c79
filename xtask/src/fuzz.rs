//! `cargo xtask fuzz`: cases without end against what any worker can write to, the report channel, against what any host can
//! send, datagrams, and against what the kernel runs, the choice and the books. The fuzzer (libFuzzer) sees which ways a case
//! takes through the code, and varies those that took a new one.
//!
//! A stable compiler is enough: the instrumentation is a pass of LLVM's, and bugs show as panics.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use llb_kit::clock::now;
use llb_kit::{needs, paths, sh};

/// The binaries of the crate `fuzz`, and the words that one looks for, if any.
const TARGETS: [(&str, Option<&str>); 3] = [("reports", Some("reports.dict")), ("choice", None), ("quic", None)];

/// Counts which edges a case takes, and shows the fuzzer what the code compares with.
const RUSTFLAGS: &str = "-Dwarnings --cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Naming the target keeps the flags from build scripts, which have nobody to tell.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// Longest case, bytes: some hundred events, or lines.
const MAX_BYTES: u32 = 4096;

#[derive(Debug, clap::Args)]
pub(crate) struct FuzzArgs {
    /// How long to look for failing cases, all targets together
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

pub(crate) fn run(args: &FuzzArgs) -> Result<()> {
    needs::FUZZ.check()?;
    let crate_dir = paths::root().join("fuzz");
    let target_dir = paths::root().join("target/fuzz");
    let mut build = Command::new(sh::cargo());
    build.args(["build", "--locked", "--target", TRIPLE, "--target-dir"]).arg(&target_dir);
    sh::run(build.current_dir(&crate_dir).env("RUSTFLAGS", RUSTFLAGS))?;

    let share = Duration::from_secs((args.seconds / TARGETS.len() as u64).max(1));
    let (mut cases, mut failed) = (0, Vec::new());
    for (name, words) in TARGETS {
        let started = now();
        let target = Target { name, words: words.map(|file| crate_dir.join(file)), dir: target_dir.clone() };
        match target.look(share) {
            Ok(tried) => {
                cases += tried;
                println!("ok     {:7.1} s  {name}: {tried} cases", started.elapsed().as_secs_f64());
            }
            Err(error) => {
                failed.push(name);
                println!("FAILED {:7.1} s  {name}: {error:#}", started.elapsed().as_secs_f64());
            }
        }
    }
    if !failed.is_empty() {
        bail!("a case fails {}", failed.join(" and "));
    }
    println!("{cases} cases in {} s, and none failed", share.as_secs() * TARGETS.len() as u64);
    Ok(())
}

struct Target {
    name: &'static str,
    words: Option<PathBuf>,
    dir: PathBuf,
}

impl Target {
    /// Returns how many cases it has tried.
    fn look(&self, time: Duration) -> Result<u64> {
        let program = self.dir.join(TRIPLE).join("debug").join(self.name);
        // Cases worth varying, from one run to the next, and those that failed: they come first, until they pass.
        let (corpus, found) = (self.dir.join("corpus").join(self.name), self.dir.join("found").join(self.name));
        for dir in [&corpus, &found] {
            fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        let log = self.dir.join(self.name).with_extension("log");
        let mut fuzz = Command::new(&program);
        fuzz.arg(format!("-max_total_time={}", time.as_secs())).arg(format!("-max_len={MAX_BYTES}"));
        fuzz.args(["-print_final_stats=1", &format!("-artifact_prefix={}/", found.display())]);
        fuzz.args(self.words.iter().map(|words| format!("-dict={}", words.display())));
        // The fuzzer's own way to here is in every one of them.
        fuzz.env("RUST_BACKTRACE", "0");
        let log_file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let status =
            fuzz.arg(&corpus).arg(&found).stdin(Stdio::null()).stdout(log_file.try_clone()?).stderr(log_file).status();
        let status = status.with_context(|| format!("cannot start {}", program.display()))?;
        let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        if !status.success() {
            bail!("{}", complaint(&said, &program, &log));
        }
        cases(&said).with_context(|| format!("the fuzzer does not say how many cases it tried: {}", log.display()))
    }
}

/// From the fuzzer's closing lines.
fn cases(said: &str) -> Option<u64> {
    said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:")?.trim().parse().ok())
}

/// What failed, and how to see it again.
fn complaint(said: &str, program: &Path, log: &Path) -> String {
    let lines = said.lines().skip_while(|line| !line.contains("panicked at"));
    let panic: Vec<&str> = lines.take_while(|line| !line.is_empty() && !line.contains("RUST_BACKTRACE")).collect();
    let case = said.lines().find_map(|line| line.split_once("Test unit written to ").map(|(_, case)| case.trim()));
    let again = case.map(|case| format!("\nthe case is kept; to see it again: {} {case}", program.display()));
    format!("{}{}\nall that was said: {}", panic.join("\n"), again.unwrap_or_default(), log.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_counted_by_the_fuzzers_own_word() {
        let said =
            "#52366\tDONE   cov: 418\nDone 52366 runs\nstat::number_of_executed_units: 52366\nstat::peak_rss_mb: 28\n";
        assert_eq!(cases(said), Some(52_366));
        assert_eq!(cases("INFO: Running with entropic power schedule\n"), None);
    }

    #[test]
    fn a_failing_case_is_shown_with_its_panic_and_its_place() {
        let said = "INFO: Seed: 7\nthread '<unnamed>' panicked at src/bin/choice.rs:9:1:\nseat 1 is better\nnote: run with \
                    `RUST_BACKTRACE=1`\n==1== ERROR: libFuzzer: deadly signal\nTest unit written to /t/found/crash-0a\n";
        let complaint = complaint(said, Path::new("/t/choice"), Path::new("/t/choice.log"));
        let expected = "thread '<unnamed>' panicked at src/bin/choice.rs:9:1:\nseat 1 is better\n\
                        the case is kept; to see it again: /t/choice /t/found/crash-0a\nall that was said: /t/choice.log";
        assert_eq!(complaint, expected);
    }
}
