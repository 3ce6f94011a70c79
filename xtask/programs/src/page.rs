//! What is said of each program: a line while it runs, and a page.

use std::fmt::Write;

use crate::{catalogue::Program, load::Tally, trials::Outcome};

fn lost(tally: &Tally) -> String {
    let kinds: Vec<String> = tally.lost.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    if kinds.is_empty() { "0".into() } else { kinds.join(", ") }
}

fn whole(whole: Option<bool>) -> &'static str {
    match whole {
        Some(true) => "whole",
        Some(false) => "**cut**",
        None => "",
    }
}

/// One program in one line.
pub(crate) fn line(program: &Program, outcome: &Outcome) -> String {
    let Outcome { steered, reloads_new, reloads_kept, kill, .. } = outcome;
    let mut line = format!(
        "{}: steered {steered} of 4; three reloads: new {} of {} lost, kept {} of {} (crossed {}), slowest {:.0} ms late; \
         kill -9: {} of {}",
        program.name,
        lost(reloads_new),
        reloads_new.answered,
        lost(reloads_kept),
        reloads_kept.answered,
        reloads_kept.crossed,
        reloads_kept.slowest.max(reloads_new.slowest).as_secs_f64() * 1e3,
        lost(kill),
        kill.answered,
    );
    if let Some((code, tally)) = &outcome.broken {
        let _ = write!(line, "; broken code: exit {code:?}, {} lost", lost(tally));
    }
    for (what, is_whole) in [
        ("stream in a reload", outcome.stream_reload),
        ("stream at the stop", outcome.stream_stop),
        ("request at the stop", outcome.request_stop),
    ] {
        if is_whole.is_some() {
            let _ = write!(line, "; {what}: {}", whole(is_whole));
        }
    }
    if let Some(tally) = &outcome.recycled {
        let _ = write!(line, "; recycling: {} of {} lost", lost(tally), tally.answered);
    }
    if let Some(error) = &outcome.error {
        let _ = write!(line, "; ERROR {error}");
    }
    line
}

/// The page.
pub(crate) fn page(results: &[(&Program, Outcome)]) -> String {
    let mut page = String::from(
        "# Programs\n\nReal servers under llb, as `cargo xtask programs --page FILE` last found them: four copies of each, \
         unmodified,\nby the command in the table (`-n 4 -p 8080 --drain-timeout 8s`, and what the command needs). Two clients with \
         new connections and\neight that keep theirs (six with requests of 20 ms, two of 1 s) ask without a pause, while the program is \
         reloaded three times, a\nworker is killed, new code cannot start, and llb is stopped in the middle of a stream of 6 s and a \
         request of 3 s.\n\n\
         *Lost*: requests without an answer that were sent more than 5 ms before the connection ended. *Crossed*: sent while the \
         connection's\nend was on its way; every HTTP client sends such a one again (RFC 9110, 9.2.2). *Late*: the slowest request of \
         the reloads, beyond its work.\n\n\
         | program | lost of new, of kept (crossed) | late | kill -9 | broken code | stream: reload, stop | request at stop | recycled |\n\
         |---|---|--:|---|---|---|---|---|\n",
    );
    for (program, outcome) in results {
        let _ = writeln!(
            page,
            "| {}{} | {}; {} of {} ({}) | {:.0} ms | {} | {} | {}, {} | {} | {} |",
            program.name,
            if outcome.steered == 4 { "" } else { ": **not steered**" },
            lost(&outcome.reloads_new),
            lost(&outcome.reloads_kept),
            outcome.reloads_new.answered + outcome.reloads_kept.answered,
            outcome.reloads_kept.crossed,
            outcome.reloads_kept.slowest.max(outcome.reloads_new.slowest).as_secs_f64() * 1e3,
            lost(&outcome.kill),
            outcome.broken.as_ref().map_or(String::new(), |(code, tally)| match code {
                Some(6) => format!("rolled back, {} lost", lost(tally)),
                code => format!("**exit {code:?}**, {} lost", lost(tally)),
            }),
            whole(outcome.stream_reload),
            whole(outcome.stream_stop),
            whole(outcome.request_stop),
            outcome.recycled.as_ref().map_or(String::new(), |tally| format!(
                "{} lost of {}",
                lost(tally),
                tally.answered
            )),
        );
    }
    page.push_str("\n## The commands\n\n| program | llb run ... |\n|---|---|\n");
    for (program, _) in results {
        let flags = program.flags.join(" ");
        let _ = writeln!(
            page,
            "| {} | `{flags}{}-- {}` |",
            program.name,
            if flags.is_empty() { "" } else { " " },
            program.command
        );
    }
    page
}
