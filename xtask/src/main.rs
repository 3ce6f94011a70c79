//! llb's own chores. `cargo xtask --help` lists them.

mod crates;
mod demo;
mod dist;
mod ebpf;
mod fuzz;
mod lint;
mod msrv;
mod programs;
mod setup;
mod step;
mod test;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "llb's own chores", after_help = crates::HELP)]
enum Chore {
    /// Build llb and show what it does; asks for root
    Demo,
    /// Make packages of llb: .deb, .rpm and a tarball, for x86-64 and aarch64
    Dist(dist::DistArgs),
    /// Compile the kernel side and write the object that llb-userspace embeds
    Ebpf {
        /// Rebuild elsewhere and compare with the committed object instead of replacing it
        #[arg(long)]
        check: bool,
    },
    /// Look for cases that break the report parser, the choice or the books
    Fuzz(fuzz::FuzzArgs),
    /// Check formats, lints, the documentation, and that the oldest compiler compiles llb
    Lint,
    /// Drive real servers under llb, and say what their clients lost: all, or those whose names contain one of the words
    /// (`--help` among them tells more); needs root, and installs the servers
    Programs {
        /// Names, and options of llb-programs
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// Install what a chore needs and this machine lacks; needs root on Debian
    Setup(setup::SetupArgs),
    /// Run every test; needs root for the integration tests and fails if any test is skipped
    Test(test::TestArgs),
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

fn main() -> ExitCode {
    if ebpf::wrapper::is_wanted() {
        return ebpf::wrapper::run();
    }
    let done = match Chore::parse() {
        Chore::Demo => demo::run(),
        Chore::Dist(args) => dist::run(&args),
        Chore::Ebpf { check: false } => ebpf::rebuild(),
        Chore::Ebpf { check: true } => ebpf::check(),
        Chore::Fuzz(args) => fuzz::run(&args),
        Chore::Lint => lint::run(),
        Chore::Programs { words } => programs::run(&words),
        Chore::Setup(args) => setup::run(&args),
        Chore::Test(args) => test::run(&args),
        Chore::Other(words) => crates::run(&words),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use clap::CommandFactory;
    use llb_kit::paths;

    use super::{Chore, crates};

    /// Pages that say which chore to call.
    fn pages() -> Vec<PathBuf> {
        let entries = |dir: &str| fs::read_dir(paths::root().join(dir)).unwrap().map(|entry| entry.unwrap().path());
        let pages = ["", "docs", "docs/design"].into_iter().flat_map(entries);
        let pages = pages.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
        pages.chain([paths::root().join(".ci/run")]).collect()
    }

    #[test]
    fn every_chore_that_a_page_names_is_there() {
        let own = Chore::command();
        let mut named = 0;
        for page in pages() {
            let text = fs::read_to_string(&page).unwrap().replace('\n', " ");
            for chore in text.split("cargo xtask ").skip(1) {
                let chore: String = chore.chars().take_while(|letter| letter.is_ascii_lowercase()).collect();
                let is_there = own.find_subcommand(&chore).is_some() || crates::has(&chore);
                assert!(is_there, "{} names the chore {chore:?}", page.display());
                named += 1;
            }
        }
        assert!(named > 20, "{named}");
    }
}
