//! `cargo xtask setup`: installs what chores need and this machine lacks. No other chore installs programs without being
//! asked to; each names what is missing.

use anyhow::{Context, Result};
use llb_kit::{
    musl,
    needs::{self, Needs},
};

use crate::{ebpf, programs};

/// Whose needs.
#[derive(Debug, clap::Args)]
pub(crate) struct SetupArgs {
    /// The chores to install for
    #[arg(value_enum, default_values_t = [Chore::Test])]
    chores: Vec<Chore>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Chore {
    /// The programs that the tests run; those that Debian lacks go into target/
    Test,
    /// The benchmark's peers, and what its real traffic is made by
    Bench,
    /// The compiler and linker of the kernel side
    Ebpf,
    /// The fuzzer's compiler
    Fuzz,
    /// The ten servers that `cargo xtask programs --few` drives, into target/ and from Debian's packages
    Programs,
    /// The virtual machines
    Vm,
}

/// Installs what these chores need.
pub(crate) fn run(args: &SetupArgs) -> Result<()> {
    args.chores.iter().try_for_each(|chore| match chore {
        Chore::Test => test(),
        Chore::Bench => provide(&needs::TRAFFIC),
        Chore::Ebpf => ebpf::setup(),
        Chore::Fuzz => provide(&needs::FUZZ),
        Chore::Programs => programs::install(),
        Chore::Vm => provide(&needs::VM).and_then(|()| musl::provide_std(musl::ARM)),
    })
}

/// Installs what the tests need.
pub(crate) fn test() -> Result<()> {
    provide(&needs::TEST)
}

fn provide(needs: &Needs) -> Result<()> {
    needs.provide().context("cannot install all that is needed")
}
