//! `cargo xtask bench --set traffic`: llb's policies beside the kernel's hash on what real programs are asked.
//!
//! A round of a cell starts a fleet for each policy, and all of them get the same requests at the same time, each from clients of
//! its own: what the machine does meanwhile happens to all. The flow: [`cell`] -> [`mod@run`] -> [`result`] -> [`table`].

mod cell;
mod policy;
mod provide;
mod result;
mod run;
mod table;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use self::cell::ALL;
use self::policy::Policy;
use self::provide::Provided;
use self::result::Section;
use super::fleet::Bench;
use super::machine::Machine;
use super::run::{BenchArgs, write};
use super::{netns, prepare, section};
use llb_kit::clock::now;
use llb_kit::quantiles::{Quantiles, sorted};

/// What is measured of a cell in a round, s: all cells twice in six minutes or so.
const SECONDS: f64 = 4.0;
const QUICK_SECONDS: f64 = 2.0;

const ROUNDS: usize = 2;

/// The section of a page that is this set's.
const HEADING: &str = "## traffic\n";

pub(super) fn run(args: &BenchArgs) -> Result<()> {
    // What is missing comes from the network, which is out of reach afterwards.
    let provided = &provide::provide()?;
    netns::enter()?;
    let bench = prepare::bench("bench")?;
    if let Some(unknown) = args.cell.iter().find(|name| ALL.iter().all(|cell| cell.name != **name)) {
        let known: Vec<_> = ALL.iter().map(|cell| cell.name).collect();
        bail!("no cell is called {unknown}; there are {}", known.join(", "));
    }
    let wanted = |name: &str| args.cell.is_empty() || args.cell.iter().any(|wanted| wanted == name);
    let mut sections: Vec<Section> = ALL.iter().filter(|cell| wanted(cell.name)).map(Section::new).collect();
    measure(&bench, provided, args, &mut sections);
    let machine = Machine::look()?;
    let command = std::iter::once("cargo xtask".into()).chain(std::env::args().skip(1)).collect::<Vec<_>>().join(" ");
    let page = page(&machine, &command, &sections);
    print!("{page}");
    if let Some(file) = &args.json {
        write(file, &format!("{}\n", json(&sections)))?;
    }
    if let Some(file) = &args.markdown {
        section::put(file, HEADING, &page)?;
    }
    let short = sections.iter().filter(|section| !section.falls_short().is_empty()).count();
    println!("{} cells hold, {short} fall short", sections.len() - short);
    Ok(())
}

/// A cell that fails must not cost what the others have measured.
fn measure(bench: &Bench, provided: &Provided, args: &BenchArgs, sections: &mut [Section]) {
    let rounds = args.rounds.unwrap_or(if args.quick { 1 } else { ROUNDS }).max(1);
    let seconds = if args.quick { QUICK_SECONDS } else { SECONDS };
    let start = now();
    for seed in 1..=rounds as u64 {
        for section in &mut *sections {
            if let Err(error) = run::round(bench, provided, section, seconds, seed) {
                eprintln!("{}: {error:#}", section.cell.name);
                section.failures.push(format!("{error:#}").lines().next().unwrap_or_default().to_owned());
            }
            let elapsed = start.elapsed().as_secs();
            println!("{:02}:{:02} {}: round {seed} of {rounds}", elapsed / 60, elapsed % 60, section.cell.name);
        }
    }
}

fn page(machine: &Machine, command: &str, sections: &[Section]) -> String {
    let how = "\
Requests come on their own (open loop), the same for everybody at the same time; those without a good answer count as 3 s. Workers \
stand still for what a request takes, except where they are said to compute. The figure is the p99 in ms over all rounds, or the \
part of the requests without a good answer. The hash is there twice, as if it were two, and what it differs by is noise, as a factor. Required: at \
most 1.1 of the best policy, and not above both hashes; 1.5 ms, or a hundredth of the requests, are no difference. *busiest* is what \
the busiest worker has to an even share, under the hash and under least-latency.";
    format!(
        "{HEADING}\nMeasured on {}, by\n\n```sh\n{command}\n```\n\nwhich writes this section.\n\n{how}\n\n{}",
        machine.line(),
        table::markdown(sections)
    )
}

fn json(sections: &[Section]) -> Value {
    let seen = |section: &Section, policy: Policy| {
        let seen = &section.seen[policy as usize];
        let Quantiles { p50, p90, p99, p999 } = Quantiles::of(&sorted(seen.latencies.clone()));
        json!({
            "policy": policy.name(), "requests": seen.latencies.len(), "failed": seen.failed, "slots": seen.slots,
            "latency_ns": { "p50": p50, "p90": p90, "p99": p99, "p99.9": p999 },
        })
    };
    let section = |section: &Section| {
        json!({
            "cell": section.cell.name,
            "falls_short": section.falls_short(),
            "seen": Policy::ALL.map(|policy| seen(section, policy)),
        })
    };
    json!(sections.iter().map(section).collect::<Vec<_>>())
}
