//! What the console of a virtual machine says about llb: `init.sh` writes it, this reads it.

use std::fmt::{self, Display, Formatter};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::suites::Suite;
use llb_kit::results;

/// Workers of the fleet that runs there, and the requests that it is asked.
pub(super) const WORKERS: u32 = 2;
pub(super) const REQUESTS: u64 = 16;

/// What worked of llb.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Trial {
    /// Things that the doctor found in order.
    checks: usize,
    /// Connections that the selector placed.
    connections: u64,
    /// Whether this kernel wakes a worker to which a connection moves: it differs, and llb does with either.
    waking: String,
}

impl Display for Trial {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Self { checks, connections, waking } = self;
        write!(out, "doctor: {checks} ok; run: {connections} connections steered; waking: {waking}")
    }
}

/// Whether all went well on the kernel of this release, or what did not.
pub(super) fn judge(console: &str, release: &str) -> Result<Trial> {
    let (_, after_boot) = console.split_once("@vm booted\n").context("the machine did not come to run its init")?;
    let (doctor, after_doctor) = after_boot.split_once("@vm doctor ").context("`llb doctor` did not end")?;
    let code = after_doctor.lines().next().unwrap_or_default();
    ensure!(code == "0", "`llb doctor` ended with code {code}; see above what is missing, and what the verifier says");
    let lines: Vec<(&str, &str)> = doctor.lines().filter_map(|line| line.split_once(' ')).collect();
    let of = |kind: &'static str| lines.iter().filter(move |(word, _)| *word == kind).map(|(_, rest)| rest.trim());
    let kernel = format!("Linux {release}");
    ensure!(of("ok").any(|rest| rest.ends_with(&kernel)), "the machine did not boot {kernel}");
    let waking =
        of("note").find_map(|rest| rest.strip_prefix("waking")).context("`llb doctor` has no note on waking")?;

    let answers = said(console, "answers")?;
    ensure!(answers == REQUESTS.to_string(), "{answers} of {REQUESTS} requests to the fleet were answered");
    let status = said(console, "status")?;
    let status: Value = serde_json::from_str(status).with_context(|| format!("`llb status --json` said: {status}"))?;
    let connections = books(&status)?;
    let code = said(console, "run")?;
    ensure!(code == "0", "`llb run` ended with code {code} on SIGTERM");
    Ok(Trial { checks: of("ok").count(), connections, waking: waking.trim().to_owned() })
}

/// The closing lines of the tests, of which each that is meant to run must have passed.
pub(super) fn judge_tests(console: &str, suites: &[&Suite]) -> Result<Vec<String>> {
    let ran = results::read(console);
    let mut closing = Vec::new();
    for suite in suites {
        let name = suite.name;
        let announced = format!("Running {name} ");
        let ran = ran.iter().find(|ran| ran.name.starts_with(&announced));
        let ran = ran.with_context(|| format!("the machine did not come to run {name}"))?;
        let listed = said(console, &format!("tests {name}"))?;
        let listed: usize = listed.parse().with_context(|| format!("{name} has {listed:?} tests"))?;
        ran.check_part(listed.saturating_sub(suite.left_out.len()))?;
        let code = said(console, &format!("suite {name}"))?;
        ensure!(code == "0", "{name} ended with code {code}");
        closing.extend(ran.closing.iter().map(|line| format!("{name}: {line}")));
    }
    Ok(closing)
}

/// What init.sh said of one thing.
pub(super) fn said<'a>(console: &'a str, what: &str) -> Result<&'a str> {
    let line = console.lines().find_map(|line| line.strip_prefix("@vm ")?.strip_prefix(what)?.strip_prefix(' '));
    line.with_context(|| format!("the machine did not come to say `@vm {what}`"))
}

/// A number of a status.
pub(super) fn number(value: &Value, field: &str) -> Result<u64> {
    value[field].as_u64().with_context(|| format!("`llb status --json` has no number {field}"))
}

/// The connections of a fleet, each of which the selector must have placed, and its worker answered.
fn books(status: &Value) -> Result<u64> {
    let connections = number(status, "connections")?;
    ensure!(connections == REQUESTS, "the selector saw {connections} connections, not {REQUESTS}: {status}");
    let placed = number(&status["selector"], "first")? + number(&status["selector"], "passed_over")?;
    ensure!(placed == connections, "the selector placed {placed} of {connections} connections: {status}");
    let workers = status["workers"].as_array().context("`llb status --json` has no workers")?;
    let answered: u64 = workers.iter().map(|worker| number(worker, "answered")).sum::<Result<_>>()?;
    ensure!(answered == connections, "the books have {answered} answers to {connections} connections: {status}");
    Ok(connections)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suites::SUITES;

    const RELEASE: &str = "6.1.0-56-cloud-amd64";

    fn console(doctor: u8, first: u64) -> String {
        format!(
            "Booting from ROM..@vm booted\n\
             ok       kernel        Linux {RELEASE}\n\
             ok       llb_steer     loaded\n\
             note     waking        it is woken\n\
             All that llb needs is there.\n\
             @vm doctor {doctor}\n\
             llb: serving [::]:8080\n\
             @vm answers 16\n\
             @vm status {{\"connections\":16,\"selector\":{{\"first\":{first},\"passed_over\":3}},\
             \"workers\":[{{\"answered\":5}},{{\"answered\":11}}]}}\n\
             @vm run 0\n"
        )
    }

    fn judge_all_tested(console: &str) -> Result<Vec<String>> {
        judge_tests(console, &SUITES.iter().collect::<Vec<_>>())
    }

    fn all_tested() -> String {
        SUITES.iter().map(|suite| tested(suite.name, suite.left_out.len())).collect()
    }

    fn tested(name: &str, left_out: usize) -> String {
        format!(
            "@vm tests {name} {}\n     Running {name} (/t/integration-1)\n\
             test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 400 filtered out; finished in 1.00s\n\n\
             @vm suite {name} 0\n",
            2 + left_out
        )
    }

    fn error(console: &str) -> String {
        judge(console, RELEASE).unwrap_err().to_string()
    }

    #[test]
    fn a_kernel_on_which_all_works_passes() {
        let seen = judge(&console(0, 13), RELEASE).unwrap();
        assert_eq!(seen, Trial { checks: 2, connections: 16, waking: "it is woken".into() });
        assert_eq!(judge_all_tested(&all_tested()).unwrap().len(), SUITES.len());
    }

    #[test]
    fn what_did_not_work_is_named() {
        assert!(error("Kernel panic").contains("init"));
        assert!(error(&console(4, 13)).contains("`llb doctor` ended with code 4"));
        assert!(error(&console(0, 12)).contains("placed 15 of 16"));
        assert!(error(&console(0, 13).replace("answers 16", "answers 9")).contains("9 of 16 requests"));
        assert!(error(&console(0, 13).replace("@vm run 0", "")).contains("@vm run"));
        assert!(judge(&console(0, 13), "6.12.117").unwrap_err().to_string().contains("did not boot"));
    }

    #[test]
    fn a_test_that_did_not_run_is_named() {
        let with = |from: &str, to: &str| judge_all_tested(&all_tested().replace(from, to)).unwrap_err().to_string();
        assert!(with(&tested("waking", 0), "").contains("did not come to run waking"));
        assert!(with(&tested("waking", 0), &tested("waking", 1)).contains("2 tests ran, and not 3"));
        let nothing = tested("waking", 0).replace("2 passed", "0 passed");
        assert!(with(&tested("waking", 0), &nothing).contains("0 tests ran, and not 2"));
        assert!(with("@vm tests waking 2", "@vm tests waking 0").contains("has no test"));
        assert!(with("@vm tests waking 2", "").contains("@vm tests waking"));
        assert!(with(&tested("tracking", 5), &tested("tracking", 4)).contains("2 tests ran, and not 1"));
        assert!(with("@vm suite waking 0", "@vm suite waking 101").contains("code 101"));
        assert!(with("@vm suite life 0", "").contains("@vm suite life"));
    }
}
