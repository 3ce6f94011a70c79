//! The integration tests that the virtual machines run: those to which the kernel makes a difference.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use super::machine::Machine;
use llb_kit::{musl, paths, sh};

/// A module of the integration tests.
pub(super) struct Suite {
    /// The module's name.
    pub name: &'static str,
    /// Those of its tests that do not run there.
    pub left_out: &'static [&'static str],
}

impl Suite {
    const fn whole(name: &'static str) -> Self {
        Self { name, left_out: &[] }
    }
}

/// What runs. Left out are tests of llb alone, which no kernel changes, those of which others try the same, and what takes
/// minutes where all is emulated: a test is some three to seven seconds of a processor's time.
pub(super) const SUITES: [Suite; 16] = [
    Suite {
        name: "why",
        // The clock's and llb's part, which no kernel changes.
        left_out: &["a_master_that_stops_notes_no_longer", "an_asker_that_is_killed_asks_no_more"],
    },
    Suite::whole("resources"),
    Suite::whole("migration"),
    Suite::whole("waking"),
    Suite::whole("steering"),
    Suite::whole("hanging"),
    Suite {
        name: "standby",
        left_out: &[
            // There are no other users, the load is for a machine of two real processors, and five fleets take a minute.
            "nobody_is_refused_while_all_restart",
            "nobody_is_refused_while_workers_of_another_user_restart",
            "replacing_the_old_first_refuses_nobody",
            "the_end_of_a_fleet_keeps_nobody_waiting",
            "without_waiting_they_are_refused",
        ],
    },
    Suite {
        name: "failing",
        left_out: &[
            "a_worker_that_answers_errors_at_once_is_no_magnet",
            "a_worker_that_begins_to_answer_errors_at_once_is_no_magnet",
            "a_worker_that_begins_to_close_without_an_answer_is_no_magnet",
            "a_worker_that_begins_to_close_without_reading_is_no_magnet",
            "a_worker_that_begins_to_reset_is_no_magnet",
            "a_worker_that_closes_without_an_answer_is_no_magnet",
        ],
    },
    Suite {
        name: "tracking",
        left_out: &[
            "a_client_that_gives_up_is_no_failure",
            // Its line is made of TUN devices, which these kernels have in a module.
            "a_request_that_completes_the_handshake",
            "an_answer_before_the_end_of_its_request",
            "connections_that_never_send",
            "pipelined_requests",
        ],
    },
    Suite { name: "modes", left_out: &["a_replacement_starts_its_histogram_anew"] },
    Suite::whole("master"),
    // The other one waits for a time that python takes there to start.
    Suite { name: "ready_check", left_out: &["one_that_stays_sick_fails_the_start"] },
    Suite {
        name: "life",
        left_out: &[
            "a_reader_of_the_status_who_leaves_is_no_error",
            "a_closed_listener_is_no_end_of_the_requests_in_flight",
            "a_second_signal_does_not_wait",
            "a_stderr_that_nobody_reads_neither_ends_nor_stalls_the_fleet",
            "a_worker_knows_its_place_and_holds_nothing_of_llbs",
            "a_worker_that_dies_again_and_again_is_started_ever_more_slowly",
            "each_way_to_be_told_to_end_ends_everything_in_order",
            "the_terminals_interrupt_reaches_llb_alone",
            "what_workers_write_comes_through_byte_for_byte",
        ],
    },
    Suite {
        name: "reload",
        // There is neither Node nor nginx, and the loads are for a machine of two real processors.
        left_out: &[
            "asyncio_is_reloaded_without_loss",
            "nginx_is_reloaded_without_loss",
            "node_is_reloaded_without_loss",
            "scaling_up_and_down_under_load_loses_nothing",
            "thirty_reloads_in_a_row_under_load_lose_nothing",
            "without_books_a_worker_finishes_too",
        ],
    },
    Suite {
        name: "takeover",
        left_out: &[
            "a_fleet_outlives_many_masters",
            "a_fleet_whose_master_dies_while_it_ends_is_replaced_and_finishes",
            "the_generation_goes_on_and_the_next_reload_takes_the_new_command",
            "the_new_masters_own_settings_apply",
        ],
    },
    Suite {
        name: "rescue",
        left_out: &[
            // It looks for a moment of some microseconds, which one processor does not see pass.
            "a_master_that_is_killed_in_the_middle_of_a_rescue_leaves_nobody_frozen",
            "a_plain_loop_in_python_is_none_the_worse_for_a_rescue",
            "a_plain_loop_in_python_would_die_of_a_listener_that_ends_while_it_runs",
            "asyncio_is_none_the_worse_for_a_rescue",
            "nginx_is_none_the_worse_for_a_rescue",
            "node_is_none_the_worse_for_a_rescue",
            "the_queues_of_two_that_hang_both_move",
            "under_load_nobody_waits_for_the_worker_that_hangs",
            "what_waits_for_a_node_that_computes_is_answered_by_others",
            "where_all_hang_nobody_is_moved",
            "whoever_hangs_for_the_time_that_is_given_is_replaced",
            "whoever_nobody_waits_for_does_not_hang",
            "without_a_rescue_they_wait_as_long_as_it_hangs",
        ],
    },
];

/// What of them runs where the processor is another: where programs are compiled by the kernel, numbers of system calls and
/// layouts are read, and memory is shared.
const ON_ARM: [&str; 6] = ["migration", "steering", "hanging", "tracking", "modes", "takeover"];

/// What there is for a machine, of the wanted ones.
pub(super) fn on(machine: Machine, wanted: &[&'static Suite]) -> Vec<&'static Suite> {
    let is_there = |suite: &&'static Suite| machine == Machine::X86 || ON_ARM.contains(&suite.name);
    wanted.iter().copied().filter(is_there).collect()
}

/// The one of this name.
pub(super) fn find(name: &str) -> Result<&'static Suite> {
    let known = || SUITES.iter().map(|suite| suite.name).collect::<Vec<_>>().join(", ");
    SUITES.iter().find(|suite| suite.name == name).with_context(|| format!("not among {}", known()))
}

/// What cargo has built.
pub(super) struct Built {
    /// Where the tests expect llb.
    pub llb: PathBuf,
    /// The program of all integration tests.
    pub tests: PathBuf,
    /// The suites in it that run.
    pub suites: Vec<&'static Suite>,
}

/// Compiles C for aarch64.
pub(super) const ARM_COMPILER: &str = "aarch64-linux-gnu-gcc";

impl Built {
    /// All that was built.
    pub(super) fn programs(&self) -> [&PathBuf; 2] {
        [&self.tests, &self.llb]
    }
}

/// The profile of Cargo.toml that they are built by.
const PROFILE: &str = "emulated";

/// The target of Cargo.toml that has the tests.
const TESTS: &str = "integration";

/// Builds llb and the tests for a machine.
pub(super) fn build(machine: Machine) -> Result<Built> {
    let mut cargo = Command::new(sh::cargo());
    cargo.current_dir(paths::root()).args(["test", "--no-run", "--profile", PROFILE, "--package", "llb-userspace"]);
    cargo.args(["--features", "tests-as-root", "--test", TESTS]);
    cargo.args(["--message-format", "json-render-diagnostics"]);
    if let Some(target) = machine.target() {
        // What of the tests' libraries is C.
        musl::build_for(&mut cargo, target).env(format!("CC_{target}"), ARM_COMPILER);
    }
    // It says what it does, and when it waits for another cargo that has locked the directory.
    cargo.stderr(Stdio::inherit());
    let messages = sh::output(&mut cargo)?;
    let of =
        |kind, name| executable(&messages, kind, name).with_context(|| format!("cargo has built no {kind} {name}"));
    let suites = on(machine, &SUITES.iter().collect::<Vec<_>>());
    Ok(Built { llb: of("bin", "llb")?, tests: of("test", TESTS)?, suites })
}

/// The program that cargo's messages name for a target.
fn executable(messages: &str, kind: &str, name: &str) -> Option<PathBuf> {
    let mut artifacts = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let found = artifacts.find(|message| {
        let target = &message["target"];
        target["name"] == name && target["kind"][0] == kind && message["executable"].is_string()
    })?;
    found["executable"].as_str().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_there() {
        for name in ON_ARM {
            assert!(find(name).is_ok(), "{name}");
        }
        for suite in &SUITES {
            let file = paths::root().join("tests").join(suite.name).with_extension("rs");
            let text = std::fs::read_to_string(file).unwrap();
            for test in suite.left_out {
                assert!(text.contains(&format!("fn {test}()")), "tests/{}.rs has no {test}", suite.name);
            }
        }
    }

    #[test]
    fn programs_are_found_among_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"llb"},"executable":null}
            {"reason":"compiler-artifact","target":{"kind":["bin"],"name":"llb"},"executable":"/t/debug/llb"}
            {"reason":"compiler-artifact","target":{"kind":["test"],"name":"integration"},"executable":"/t/debug/deps/integration-1"}
            {"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages, "bin", "llb"), Some("/t/debug/llb".into()));
        assert_eq!(executable(messages, "test", TESTS), Some("/t/debug/deps/integration-1".into()));
        assert_eq!(executable(messages, "test", "llb"), None);
    }
}
