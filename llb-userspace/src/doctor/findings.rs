//! What has been found so far, one line for each thing, and how it is shown.

use serde::Serialize;

use super::missing::{Missing, Tried};

/// How one check went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub(crate) enum CheckOutcome {
    /// It is there.
    Ok {
        /// What was seen.
        detail: String,
    },
    /// Good to know; llb does with it and without.
    Note {
        /// What was seen.
        detail: String,
    },
    /// It is not there.
    Missing(Missing),
    /// It was not tried.
    Skipped {
        /// The earlier check without which it cannot be.
        because: &'static str,
    },
}

/// One thing that llb needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// Its name, always the same.
    pub name: &'static str,
    /// How it went.
    #[serde(flatten)]
    pub outcome: CheckOutcome,
}

/// All checks, in the order in which they were made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings(Vec<Check>);

impl Findings {
    /// Enters what came of a try, and returns what the next one needs, if it is there.
    pub(super) fn enter<T>(&mut self, name: &'static str, tried: Tried<T>) -> Option<T> {
        let (outcome, found) = match tried {
            Ok((found, detail)) => (CheckOutcome::Ok { detail }, Some(found)),
            Err(missing) => (CheckOutcome::Missing(missing), None),
        };
        self.0.push(Check { name, outcome });
        found
    }

    pub(super) fn note(&mut self, name: &'static str, detail: impl Into<String>) {
        self.0.push(Check { name, outcome: CheckOutcome::Note { detail: detail.into() } });
    }

    /// Enters those of `names` that have not been tried, if one of `needed` is missing.
    pub(super) fn skip(&mut self, names: &[&'static str], needed: &[&'static str]) -> bool {
        let missing =
            |check: &&Check| needed.contains(&check.name) && matches!(check.outcome, CheckOutcome::Missing(_));
        let Some(because) = self.0.iter().find(missing).map(|check| check.name) else { return false };
        for &name in names {
            if !self.0.iter().any(|check| check.name == name) {
                self.0.push(Check { name, outcome: CheckOutcome::Skipped { because } });
            }
        }
        true
    }

    /// Whether all is there.
    #[must_use]
    pub(crate) fn is_ok(&self) -> bool {
        self.0.iter().all(|check| matches!(check.outcome, CheckOutcome::Ok { .. } | CheckOutcome::Note { .. }))
    }

    /// For people: a line for each check, below it what to do.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        let width = self.0.iter().map(|check| check.name.len()).max().unwrap_or(0);
        let mut text = String::new();
        for Check { name, outcome } in &self.0 {
            let (word, detail) = match outcome {
                CheckOutcome::Ok { detail } => ("ok", detail.clone()),
                CheckOutcome::Note { detail } => ("note", detail.clone()),
                CheckOutcome::Missing(Missing { what, .. }) => ("MISSING", what.clone()),
                CheckOutcome::Skipped { because } => ("skipped", format!("not tried without: {because}")),
            };
            text += &format!("{word:<8} {name:<width$}  {detail}\n");
            if let CheckOutcome::Missing(Missing { remedy, .. }) = outcome {
                text += &format!("{:<8} {:<width$}  -> {remedy}\n", "", "");
            }
        }
        let missing = self.0.iter().filter(|check| matches!(check.outcome, CheckOutcome::Missing(_))).count();
        text + &match missing {
            0 => "All that llb needs is there.\n".to_owned(),
            1 => "1 thing is missing; the line below it says what to do.\n".to_owned(),
            more => format!("{more} things are missing; the line below each says what to do.\n"),
        }
    }

    /// For programs: `{"ok": bool, "checks": [{"name", "outcome", ...}]}`. Fields are only ever added.
    #[must_use]
    pub(crate) fn json(&self) -> impl Serialize {
        #[derive(Serialize)]
        struct Shown<'a> {
            ok: bool,
            checks: &'a [Check],
        }
        Shown { ok: self.is_ok(), checks: &self.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::{Findings, Missing};

    fn report() -> Findings {
        let mut report = Findings::default();
        assert_eq!(report.enter("kernel", Ok((7, "Linux 6.18".into()))), Some(7));
        assert!(!report.skip(&["attach"], &["kernel"]));
        report.note("waking", "no");
        assert!(report.is_ok());
        assert_eq!(report.enter::<()>("cgroup v2", Err(Missing::new("mounted nowhere", "mount it"))), None);
        assert!(report.skip(&["cgroup v2", "attach"], &["kernel", "cgroup v2"]));
        report
    }

    #[test]
    fn each_thing_is_a_line_and_what_is_missing_says_what_to_do() {
        let lines = [
            "ok       kernel     Linux 6.18",
            "note     waking     no",
            "MISSING  cgroup v2  mounted nowhere",
            "                    -> mount it",
            "skipped  attach     not tried without: cgroup v2",
            "1 thing is missing; the line below it says what to do.",
        ];
        assert_eq!(report().text().lines().collect::<Vec<_>>(), lines);
    }

    #[test]
    fn programs_can_read_it() {
        assert_eq!(
            serde_json::to_value(report().json()).unwrap(),
            serde_json::json!({ "ok": false, "checks": [
                { "name": "kernel", "outcome": "ok", "detail": "Linux 6.18" },
                { "name": "waking", "outcome": "note", "detail": "no" },
                { "name": "cgroup v2", "outcome": "missing", "what": "mounted nowhere", "remedy": "mount it" },
                { "name": "attach", "outcome": "skipped", "because": "cgroup v2" },
            ]})
        );
    }
}
