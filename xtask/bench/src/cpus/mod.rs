//! `cargo xtask bench --set cpus`: the same fleet with its workers where the kernel puts them, with a CPU each (`--cpus auto`), and
//! giving way (`--nice`). And what it could bring to choose a worker by the CPU that a connection came to: as the kernel itself
//! does for listeners with `SO_INCOMING_CPU`, among plain workers that have a CPU each.
//!
//! The flow: [`load`] -> [`turns`] -> [`table`].

mod load;
mod table;
mod turns;

use anyhow::Result;

use self::load::Load;
use super::fleet::Bench;
use super::machine::Machine;
use super::run::BenchArgs;
use super::section;
use llb_kit::clock::now;

/// The section of a page that is this set's.
const HEADING: &str = "## CPUs\n";

const ROUNDS: usize = 5;
const QUICK_ROUNDS: usize = 2;

pub(super) fn run(bench: &Bench, args: &BenchArgs) -> Result<()> {
    let machine = Machine::look()?;
    let rounds = args.rounds.unwrap_or(if args.quick { QUICK_ROUNDS } else { ROUNDS }).max(1);
    let start = now();
    let mut tables = String::new();
    for load in Load::ALL {
        let seen = turns::run(bench, load, machine.cores, rounds)?;
        println!("{:3} s {}: {rounds} rounds", start.elapsed().as_secs(), load.name());
        tables += &table::markdown(load, machine.cores, &seen);
    }
    let page = page(&machine, &tables);
    print!("{page}");
    match &args.markdown {
        Some(file) => section::put(file, HEADING, &page),
        None => Ok(()),
    }
}

const HOW: &str = "\
All fleets of a table are up together and take turns of a quarter of a second, so that whatever the machine does hits all of them; \
who is not asked is stopped. The clients ask again as soon as they are answered, and share the CPUs with the workers; so a connection \
comes to the CPU that its client runs on, which is what `SO_INCOMING_CPU` goes by. A ratio is that of a round, to who is named there; the median, and behind it the least and the greatest. *again* is the first \
fleet a second time: what it differs by is noise.";

fn page(machine: &Machine, tables: &str) -> String {
    let command = std::iter::once("cargo xtask".into()).chain(std::env::args().skip(1)).collect::<Vec<_>>().join(" ");
    format!(
        "{HEADING}\nMeasured on {}, by\n\n```sh\n{command}\n```\n\nwhich writes this section with `--markdown docs/benchmarks.md`.\n\n\
         {HOW}\n{tables}",
        machine.line()
    )
}
