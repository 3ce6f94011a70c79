//! The figures, beside what they may be.

use serde_json::{Value, json};

use super::ebpf::{Costs, Program};
use super::master::{self, Usage};
use super::reports::Reports;
use crate::machine::Machine;
use crate::spec::CLIENTS;

/// What the master may take, KiB at any time, and what a hand-over from the line may, ns of the CPU.
const MASTER_KIB: u64 = 12 * 1024;
const HAND_OVER_NS: f64 = 15_000.0;

/// Everything that was measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) programs: Vec<Costs>,
    pub(super) master: Vec<Usage>,
    pub(super) hand_over_ns: Option<f64>,
    pub(super) reports: Option<Reports>,
}

/// What a run of a program may cost, ns; none for those that run a few times a connection at most.
fn target_ns(program: &str, seats: usize) -> Option<f64> {
    match program {
        "llb_steer" if seats <= 8 => Some(150.0),
        "llb_steer" => Some(250.0),
        "llb_ingress" | "llb_egress" => Some(60.0),
        "llb_flow" => Some(100.0),
        _ => None,
    }
}

/// "ok" within a target, and how far it is missed otherwise.
fn verdict(value: f64, target: f64) -> String {
    if value <= target { "ok".to_owned() } else { format!("{:.1} times", value / target) }
}

impl Report {
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "{}\n\nPrograms, ns a run, under {} clients that connect anew for each request. What the statistics say of an \
             empty program in the same seconds is their own, and is taken off.\n\n\
             policy         tracking  seats  program      ns a run  with stats  target  verdict      runs a connection\n",
            self.machine.line(),
            CLIENTS,
        );
        for costs in &self.programs {
            for program in &costs.programs {
                text += &row(costs, program);
            }
            let Costs { policy, tracking, seats, per_second, empty_ns, .. } = costs;
            text += &format!("{policy:13}  {tracking:8} {seats:6}  (empty)             {empty_ns:12.0}\n");
            let all = connection_ns(costs);
            text += &format!(
                "{policy:13}  {tracking:8} {seats:6}  all: {all:.0} ns a connection, {per_second:.0} connections/s\n"
            );
        }
        text += &format!("\nThe master of {} workers\n\n", master::WORKERS);
        for Usage { load, cores, target_cores, memory } in &self.master {
            text += &format!(
                "{load:17}  CPU {:5.2}% of a core (target {:.0}%: {}), resident {:.1} MB, at most {:.1} MB (target {} MB: {})\n",
                cores * 100.0,
                target_cores * 100.0,
                verdict(*cores, *target_cores),
                memory.resident as f64 / 1024.0,
                memory.peak as f64 / 1024.0,
                MASTER_KIB / 1024,
                verdict(memory.peak as f64, MASTER_KIB as f64),
            );
        }
        if let Some(ns) = self.hand_over_ns {
            text += &format!(
                "hand-overs         CPU {:5.1} µs each (target {:.0} µs: {})\n",
                ns / 1e3,
                HAND_OVER_NS / 1e3,
                verdict(ns, HAND_OVER_NS),
            );
        }
        if let Some(reports) = &self.reports {
            text += &reports.text();
        }
        text
    }

    pub(super) fn json(&self) -> Value {
        let Machine { cores, cpu, kernel, date } = &self.machine;
        let program = |costs: &Costs, program: &Program| {
            json!({
                "name": program.name,
                "ns": program.net_ns,
                "ns_with_statistics": program.mean_ns,
                "target_ns": target_ns(&program.name, costs.seats),
                "runs_per_connection": program.runs_per_connection,
            })
        };
        let costs = |costs: &Costs| {
            json!({
                "policy": costs.policy,
                "tracking": costs.tracking,
                "seats": costs.seats,
                "connections_per_second": costs.per_second,
                "ns_per_connection": connection_ns(costs),
                "statistics_ns": costs.empty_ns,
                "programs": costs.programs.iter().map(|one| program(costs, one)).collect::<Vec<_>>(),
            })
        };
        let master = |usage: &Usage| {
            json!({
                "load": usage.load,
                "workers": master::WORKERS,
                "cores": usage.cores,
                "target_cores": usage.target_cores,
                "resident_kib": usage.memory.resident,
                "peak_kib": usage.memory.peak,
            })
        };
        json!({
            "machine": { "cores": cores, "cpu": cpu, "kernel": kernel },
            "date": date,
            "programs": self.programs.iter().map(costs).collect::<Vec<_>>(),
            "master": self.master.iter().map(master).collect::<Vec<_>>(),
            "master_targets": { "peak_kib": MASTER_KIB, "hand_over_ns": HAND_OVER_NS },
            "hand_over_ns": self.hand_over_ns,
            "reports": self.reports.as_ref().map(Reports::json),
        })
    }
}

fn row(costs: &Costs, program: &Program) -> String {
    let Program { name, mean_ns, net_ns, runs_per_connection } = program;
    let target = target_ns(name, costs.seats);
    format!(
        "{:13}  {:8} {:6}  {name:12} {net_ns:8.0}  {mean_ns:10.0}  {:>6}  {:11}  {runs_per_connection:.1}\n",
        costs.policy,
        costs.tracking,
        costs.seats,
        target.map_or(String::new(), |target| format!("{target:.0}")),
        target.map_or(String::new(), |target| verdict(*net_ns, target)),
    )
}

/// What all programs together cost a connection from its handshake to its end, ns.
fn connection_ns(costs: &Costs) -> f64 {
    costs.programs.iter().map(|program| program.net_ns * program.runs_per_connection).sum()
}

#[cfg(test)]
mod tests {
    use super::super::master::Memory;
    use super::*;

    fn report() -> Report {
        let program = |name: &str, net_ns, runs_per_connection| Program {
            name: name.into(),
            mean_ns: net_ns + 30.0,
            net_ns,
            runs_per_connection,
        };
        let programs = vec![program("llb_egress", 50.0, 5.0), program("llb_steer", 300.0, 1.0)];
        let costs = Costs { policy: "hash", tracking: "full", seats: 8, per_second: 1.0, empty_ns: 30.0, programs };
        let memory = Memory { resident: 8 * 1024, peak: 30 * 1024 };
        let master = vec![Usage { load: "idle", cores: 0.004, target_cores: 0.01, memory }];
        Report { programs: vec![costs], master, ..Report::default() }
    }

    #[test]
    fn a_cost_without_the_statistics_own_is_held_against_its_target() {
        let json = report().json();
        let programs = &json["programs"][0];
        assert_eq!((&programs["programs"][1]["ns"], &programs["ns_per_connection"]), (&json!(300.0), &json!(550.0)));
        let text = report().text();
        for line in
            ["llb_egress         50          80      60  ok", "llb_steer         300         330     150  2.0 times"]
        {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn the_master_is_held_against_its_peak() {
        let text = report().text();
        assert!(text.contains("CPU  0.40% of a core (target 1%: ok)"), "{text}");
        assert!(text.contains("at most 30.0 MB (target 12 MB: 2.5 times)"), "{text}");
    }
}
