//! What is said of each program: a line while it runs, and a page.

use std::{fmt::Write, path::Path};

use anyhow::Result;

use crate::{
    load::Tally,
    program::Program,
    results,
    trials::{Begun, Outcome},
};

fn lost(tally: &Tally) -> String {
    let kinds: Vec<String> = tally.lost.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    if kinds.is_empty() { "0".into() } else { kinds.join(", ") }
}

/// What clients lost that keep their connections, and whether copies ran out of time.
fn lost_of_kept(outcome: &Outcome) -> String {
    let all = format!("{} of {}", lost(&outcome.reloads_kept), outcome.reloads_kept.answered);
    match outcome.overdue {
        0 => all,
        copies => format!("{all}, {copies} out of time"),
    }
}

fn whole(begun: Option<Begun>) -> String {
    let word = |is_whole| if is_whole { "whole" } else { "**cut**" };
    begun.map_or(String::new(), |begun| format!("{}, {}", word(begun.stream), word(begun.request)))
}

fn broken(outcome: &Outcome) -> String {
    match &outcome.broken {
        Some((Some(6), tally)) => format!("rolled back, {} lost", lost(tally)),
        Some((code, tally)) => format!("**exit {code:?}**, {} lost", lost(tally)),
        None => String::new(),
    }
}

fn recycled(outcome: &Outcome) -> String {
    outcome.recycled.as_ref().map_or(String::new(), |tally| format!("{} of {}", lost(tally), tally.answered))
}

fn late(tally: &Tally) -> f64 {
    tally.slowest.as_secs_f64() * 1e3
}

/// One program in one line.
pub(crate) fn line(program: &Program, outcome: &Outcome) -> String {
    let Outcome { version, steered, quiet, reloads_new, reloads_kept, kill, alone, .. } = outcome;
    let mut line = format!(
        "{} {version}: steered {steered} of 4; quiet: {} of {} lost, {:.0} ms late; three reloads: new {} of {} lost, kept {} \
         (crossed {}), {:.0} ms late; kill -9: {} of {}",
        program.name,
        lost(quiet),
        quiet.answered,
        late(quiet),
        lost(reloads_new),
        reloads_new.answered,
        lost_of_kept(outcome),
        reloads_kept.crossed,
        late(reloads_new).max(late(reloads_kept)),
        lost(kill),
        kill.answered,
    );
    for (what, said) in [
        ("broken code", broken(outcome)),
        ("stream and request in a reload", whole(outcome.reload)),
        ("at the stop", whole(outcome.stop)),
        ("recycling", recycled(outcome)),
        ("alone", lost(alone)),
        ("stream and request alone", whole(outcome.alone_stop)),
    ] {
        if !said.is_empty() {
            let _ = write!(line, "; {what}: {said}");
        }
    }
    if let Some(error) = &outcome.error {
        let _ = write!(line, "; ERROR {error}");
    }
    line
}

const HEAD: &str = "# Programs

Real servers under llb, four copies of each, unmodified, as they were last driven here. This page is the output of

```sh
cargo xtask programs --page docs/programs.md
```

which installs them (pip, npm, Debian's packages, Go, cargo) and drives each for about a minute, four at a time, as root: a quarter of an
hour in all. With names it drives only those, and the page keeps the last figures of the others. `cargo xtask programs --few` drives the
ten that are marked (*), as CI does after `cargo xtask setup programs`, in four minutes.

It exits with 1 and a line for each program that

- does not start, or whose fleet does not come to rest after a reload or a `kill -9`;
- has a copy among the four that was given no connection, within three seconds of two clients with new ones;
- is not rolled back (exit code 6 of `llb reload`) when its new code cannot start;
- loses a request before the reloads, or has one refused at any time;
- loses one in work (*cut*, *torn*, *wrong* or without an answer within 20 s) or *unread*, where its own end loses none of this
  sort in five trials; or has a stream or a long request cut that its own end does not cut;
- loses more than eight by `kill -9`. What a killed copy holds is lost with it, so fewer are no fault.

*Crossed* requests and late answers are no faults, nor what a program closes unread at its own limit of requests.

Each is started by `llb run -n 4 -p 8080 --drain-timeout 8s`, and by its line in the second table. Two clients with new connections and
eight that keep theirs (six with requests of 20 ms, two of 1 s, by POST) ask without a pause, while the program is reloaded three times, a
worker is killed by `kill -9`, and new code cannot start. A stream of 6 s with pauses, and a request of 3 s, are begun before a reload and
before llb is stopped. Then one copy is started *alone*, without llb, and asked to end by the same signal under the same clients, five
times.

- *lost*: requests without an answer. *cut*: lost in work, as the program had read the request: its connection ended without a reset.
  One that the program had read to throw it away (lighttpd, below) looks the same.
  *torn*: the answer broke off. *wrong*: another answer than 200. *unread*: a new connection was reset before the program read the
  request. *refused*: nobody took the connection.
- *crossed*: the request met a kept connection that the program was closing, and was reset before the program read it: its client sends it
  again (RFC 9110, 9.2.2). It is not lost. A kernel resets a connection that is closed with unread bytes, or gets bytes after its close.
- *out of time*: so many of the twelve copies that the reloads replaced were ended with what they held, because the 8 s of
  `--drain-timeout` were over. A machine so loaded that llb misses the pauses of 50 ms between a client's requests for so long shows it.
- *late*: the slowest request beyond its work, before the reloads and during them.
- *alone*: what the program's own end loses. Where it loses none, llb should lose none in work.

| program | version | late, ms | lost of new | lost of kept | crossed | `kill -9` | broken code | reload: stream, request | stop: stream, request | recycled, lost | alone: lost | alone: stream, request |
|---|---|---|---|---|--:|---|---|---|---|---|---|---|
";

/// The page, of the last results of all programs.
pub(crate) fn page(programs: &[Program], dir: &Path) -> Result<String> {
    let mut page = String::from(HEAD);
    let mut missing = Vec::new();
    for program in programs {
        let Some(outcome) = results::load(dir, program)? else {
            missing.push(program.name);
            continue;
        };
        let star = if program.few { " (*)" } else { "" };
        if let Some(error) = &outcome.error {
            let _ = writeln!(page, "| {}{star} | {} | **{error}** |||||||||||", program.name, outcome.version);
            continue;
        }
        let _ = writeln!(
            page,
            "| {}{star}{} | {} | {:.0}, {:.0} | {} of {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            program.name,
            if outcome.steered == 4 { "" } else { ": **not steered**" },
            outcome.version,
            late(&outcome.quiet),
            late(&outcome.reloads_new).max(late(&outcome.reloads_kept)),
            lost(&outcome.reloads_new),
            outcome.reloads_new.answered,
            lost_of_kept(&outcome),
            outcome.reloads_kept.crossed,
            lost(&outcome.kill),
            broken(&outcome),
            whole(outcome.reload),
            whole(outcome.stop),
            recycled(&outcome),
            lost(&outcome.alone),
            whole(outcome.alone_stop),
        );
    }
    if !missing.is_empty() {
        let _ = writeln!(page, "\nNot driven yet: {}.", missing.join("; "));
    }
    page.push_str("\n## What is lost, and why\n\n");
    for (program, why) in programs.iter().filter_map(|program| Some((program, program.own_losses?))) {
        let _ = writeln!(page, "- {}: {why}.", program.name);
    }
    page.push_str(
        "\n## The lines\n\nAn application is in [xtask/programs](../xtask/programs), as are the configuration files.\n\n\
         | program | `llb run -p 8080` ... | what helps |\n|---|---|---|\n",
    );
    for program in programs {
        let flags: String = program.flags.iter().map(|flag| format!("{flag} ")).collect();
        let command = program.command.replace("{venv}/bin/", "").replace("{built}/", "./").replace("{stage}/", "");
        let command =
            command.replace("{runtimes}/@oven/bun-linux-x64/bin/", "").replace("{runtimes}/@deno/linux-x64-glibc/", "");
        let _ =
            writeln!(page, "| {} | `{flags}-- {}` | {} |", program.name, command.replace('|', "\\|"), program.helps);
    }
    page.push_str("\nNot here: Falcon, which RubyGems has and no package of Debian's.\n");
    Ok(page)
}

#[cfg(test)]
mod tests {
    use crate::catalogue::catalogue;

    #[test]
    fn the_committed_page_has_every_program() {
        let page = include_str!("../../../docs/programs.md");
        for program in catalogue() {
            let rows = page.matches(&format!("\n| {}", program.name)).count();
            assert!(
                rows >= 2,
                "docs/programs.md lacks {}: run cargo xtask programs --page docs/programs.md",
                program.name
            );
        }
    }
}
