//! The command line; one definition of each option.

mod fleets;
mod run;
mod standalone;
mod values;
mod words;

use clap::{Parser, Subcommand};

#[cfg(feature = "top")]
pub(super) use self::fleets::TopArgs;
pub(super) use self::{
    fleets::{CurlArgs, EventsArgs, FleetArgs, FleetCommand, MetricsArgs, ReloadArgs, ScaleArgs, SlotArgs, WhyArgs},
    run::RunArgs,
    standalone::{BenchHereArgs, DemoArgs, DemoWorkerArgs, DoctorArgs, DoctorWorkerArgs, GuardArgs},
    values::{Cpus, Prefixes},
    words::{
        LogFormatArg, OnMasterExitArg, PolicyArg, QuicLbArg, ReadyWhenArg, RescueArg, StickyArg, StopWhomArg,
        TrackingArg,
    },
};

/// N copies of any server on one port; the kernel hands each connection to the copy that will answer soonest.
#[derive(Debug, Parser)]
#[command(name = "llb", version, max_term_width = 100, disable_help_subcommand = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run N copies of a server on one port
    Run(RunArgs),
    /// Check a configuration file, or a command line of `llb run`, without running anything
    Check(RunArgs),
    /// Compare llb with the kernel's hash: the same load to each, one worker of eight is slow
    Demo(DemoArgs),
    /// Compare llb with the kernel's hash on a server of yours: the same load to each, in alternating rounds
    BenchHere(BenchHereArgs),
    #[command(hide = true)]
    DemoWorker(DemoWorkerArgs),
    /// Check what llb needs on this machine; say what is missing and what to do
    Doctor(DoctorArgs),
    #[command(hide = true)]
    DoctorWorker(DoctorWorkerArgs),
    /// Show a running fleet
    Status(FleetCommand),
    /// Print the metrics of running fleets, in Prometheus' text format
    Metrics(MetricsArgs),
    /// Ask one slot's worker for a path over HTTP, through its own listener
    Curl(CurlArgs),
    /// Show why connections go where they go: what the kernel's choices of a second have looked at
    Why(WhyArgs),
    /// Show the events of a running fleet
    Events(EventsArgs),
    /// Watch running fleets, live in the terminal
    #[cfg(feature = "top")]
    Top(TopArgs),
    /// Replace all workers by new ones of the same command. Waits until these serve, or the reload is rolled back
    Reload(ReloadArgs),
    /// Set the number of workers. Waits until the new ones serve and the old ones have exited
    Scale(ScaleArgs),
    /// Drain a slot's worker and start none in its place. Waits until it has exited
    Drain(SlotArgs),
    /// Replace a slot's worker, or fill an empty slot. Waits until the new one serves
    Restart(SlotArgs),
    /// Stop a fleet in order. Waits until nothing of it is left
    Stop(FleetCommand),
    #[command(hide = true)]
    Guard(GuardArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
