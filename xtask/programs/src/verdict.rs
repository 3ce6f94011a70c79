//! What is wrong with an outcome. Only what llb can be to blame for counts; docs/programs.md states the rule.

use crate::{
    load::Tally,
    program::Program,
    trials::{Begun, Outcome},
};

/// How many requests may be lost with a copy that is killed. What it holds is gone: one of each of the two clients, and what waits in
/// its queue at that moment. A port that nobody serves for long would lose dozens.
const LOST_BY_KILL: u64 = 8;

/// `llb reload`'s exit code where the new code did not become ready.
const ROLLED_BACK: i32 = 6;

/// What is not as it should be, a phrase for each; none if the outcome holds.
pub(crate) fn faults(program: &Program, outcome: &Outcome) -> Vec<String> {
    if let Some(error) = &outcome.error {
        return vec![error.clone()];
    }
    let alone = &outcome.alone;
    let mut faults = Vec::new();
    if outcome.steered != 4 {
        faults.push(format!("{} of 4 copies were given connections", outcome.steered));
    }
    faults.extend(lost("before the reloads", &outcome.quiet, &Tally::default()));
    faults.extend(lost("of new connections in three reloads", &outcome.reloads_new, alone));
    faults.extend(lost("of kept connections in three reloads", &outcome.reloads_kept, alone));
    if outcome.kill.lost() > LOST_BY_KILL {
        faults.push(format!("{} lost by kill -9 of one copy", outcome.kill.lost()));
    }
    if let Some((code, tally)) = &outcome.broken {
        if *code != Some(ROLLED_BACK) {
            faults.push(format!("broken code was not rolled back: llb reload's exit code is {code:?}"));
        }
        faults.extend(lost("while broken code was tried", tally, alone));
    }
    faults.extend(cut("by a reload", outcome.reload, outcome.alone_stop));
    faults.extend(cut("by the stop", outcome.stop, outcome.alone_stop));
    if let Some(recycled) = &outcome.recycled {
        let mut own = alone.clone();
        own.lost.extend(program.own_losses.map(|_| ("unread".into(), 1)));
        faults.extend(lost("while copies ended after their last request", recycled, &own));
    }
    faults
}

/// What was lost in a way in which the program's own end loses nothing.
fn lost(when: &str, tally: &Tally, own: &Tally) -> Option<String> {
    let beyond_its_own = |count: fn(&Tally) -> u64| if count(own) == 0 { count(tally) } else { 0 };
    let counted = [Tally::in_work, Tally::unread, Tally::refused].map(beyond_its_own);
    (counted.iter().sum::<u64>() > 0).then(|| {
        let kinds: Vec<String> = tally.lost.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        format!("lost {when}: {} of {}, and its own end loses none like these", kinds.join(", "), tally.answered)
    })
}

/// Which of the long ones were cut that the program's own end does not cut.
fn cut(by: &str, begun: Option<Begun>, alone: Option<Begun>) -> Option<String> {
    let begun = begun?;
    let cuts = |is_whole: bool, alone_is_whole: Option<bool>| !is_whole && alone_is_whole != Some(false);
    let stream = cuts(begun.stream, alone.map(|alone| alone.stream)).then_some("the stream");
    let request = cuts(begun.request, alone.map(|alone| alone.request)).then_some("the long request");
    let named: Vec<&str> = stream.into_iter().chain(request).collect();
    (!named.is_empty()).then(|| format!("{} was cut {by}, and not by its own end", named.join(" and ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::catalogue;

    fn program(name: &str) -> Program {
        catalogue().into_iter().find(|program| program.name == name).unwrap()
    }

    fn tally(kind: &str, count: u64) -> Tally {
        Tally { answered: 100, lost: [(kind.to_owned(), count)].into(), ..Tally::default() }
    }

    fn good() -> Outcome {
        Outcome { steered: 4, broken: Some((Some(ROLLED_BACK), Tally::default())), ..Outcome::default() }
    }

    fn said(outcome: &Outcome) -> String {
        faults(&program("Node"), outcome).join("; ")
    }

    #[test]
    fn an_outcome_without_losses_holds() {
        assert_eq!(said(&good()), "");
    }

    #[test]
    fn a_copy_without_connections_is_a_fault() {
        assert_eq!(said(&Outcome { steered: 3, ..good() }), "3 of 4 copies were given connections");
    }

    #[test]
    fn code_that_is_not_rolled_back_is_a_fault() {
        let taken = Outcome { broken: Some((Some(0), Tally::default())), ..good() };
        assert!(said(&taken).starts_with("broken code was not rolled back"), "{}", said(&taken));
    }

    #[test]
    fn a_program_that_does_not_start_is_a_fault() {
        assert_eq!(said(&Outcome { error: Some("it does not come up".into()), ..good() }), "it does not come up");
    }

    #[test]
    fn only_what_its_own_end_loses_is_forgiven() {
        for kind in ["cut", "torn", "wrong", "unanswered", "unread", "refused"] {
            for part in [
                Outcome { reloads_new: tally(kind, 1), ..good() },
                Outcome { reloads_kept: tally(kind, 1), ..good() },
                Outcome { broken: Some((Some(ROLLED_BACK), tally(kind, 1))), ..good() },
            ] {
                assert!(said(&part).contains(&format!("1 {kind} of 100")), "{kind}: {}", said(&part));
            }
        }
        let own = |own, kind| Outcome { alone: tally(own, 1), reloads_kept: tally(kind, 1), ..good() };
        assert_eq!(said(&own("torn", "cut")), "", "both are lost in work");
        assert_ne!(said(&own("unread", "cut")), "", "its own end loses none in work");
        assert_ne!(said(&own("unread", "refused")), "", "its own end comes once it has been replaced");
        let quiet = Outcome { alone: tally("cut", 1), quiet: tally("cut", 1), ..good() };
        assert_ne!(said(&quiet), "", "nothing ended before the reloads");
    }

    #[test]
    fn what_a_killed_copy_held_is_no_fault() {
        assert_eq!(said(&Outcome { kill: tally("unread", LOST_BY_KILL), ..good() }), "");
        assert_ne!(said(&Outcome { kill: tally("unread", LOST_BY_KILL + 1), ..good() }), "");
    }

    #[test]
    fn a_stream_that_its_own_end_cuts_may_be_cut() {
        let (whole, no_stream) = (Begun { stream: true, request: true }, Begun { stream: false, request: true });
        let cut = Outcome { stop: Some(no_stream), ..good() };
        assert_ne!(said(&cut), "");
        assert_eq!(said(&Outcome { alone_stop: Some(no_stream), ..cut.clone() }), "");
        assert_ne!(said(&Outcome { alone_stop: Some(whole), ..cut }), "");
    }

    #[test]
    fn what_uvicorn_resets_at_its_limit_is_its_own() {
        let recycled = |kind| Outcome { recycled: Some(tally(kind, 3)), ..good() };
        assert_eq!(faults(&program("uvicorn"), &recycled("unread")), [""; 0]);
        assert_ne!(faults(&program("uvicorn"), &recycled("cut")), [""; 0]);
    }
}
