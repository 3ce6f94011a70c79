use std::collections::BTreeSet;

use super::{Family, Value, families};
use crate::{
    metrics::{Format, encode},
    observe::status::Status,
};

/// A fleet of one slot whose worker is being replaced; `tracked` has what the kernel counts.
fn fleet(name: &str, tracked: &str) -> Status {
    let worker = |state: &str| {
        format!(
            r#"{{"slot":0,"pid":7,"state":"{state}","generation":1,"uptime_s":9,"seats":[0],"chosen":5,"share":0.5,"open":{tracked},
            "queued":1,"in_flight":{tracked},"answered":{tracked},"failed":{tracked},"rescued":{tracked},"latency_us":null,
            "latency_histogram":null,"cost_us":500,"restarts":0,"last_exit":null,"memory_bytes":1024,"reports":{{}}}}"#
        )
    };
    let text = format!(
        r#"{{"name":"{name}","pid":1,"version":"1.2.3","policy":"hash","tracking":"full","up":true,"uptime_s":1.5,"least_slot":null,
        "groups":[],"generation":1,"reloading":null,"slots":[{{"slot":0,"state":"filled","starts_in_s":null,"restarts":1,
        "restart_causes":{{"hung":1}},"last_exit":null,"totals":{{"chosen":12,"answered":{tracked}}}}}],
        "workers":[{},{}],"selector":{{"first":3}},"connections":3,"notify_unknown_senders":0,"latency_us":null,
        "latency_histogram":null}}"#,
        worker("draining"),
        worker("serving")
    );
    serde_json::from_str(&text).unwrap()
}

fn find<'a>(all: &'a [Family], name: &str) -> &'a Family {
    all.iter().find(|family| family.name == name).unwrap()
}

#[test]
fn a_slot_is_the_sum_of_its_workers() {
    let all = families(&[fleet("web", "4")]);
    let of = |name| find(&all, name).samples[0].1.clone();
    assert_eq!(
        (of("worker_requests_in_flight"), of("worker_resident_memory")),
        (Value::Gauge(8.0), Value::Gauge(2048.0))
    );
    assert_eq!((of("worker_connections_chosen"), of("worker_responses")), (Value::Counter(12), Value::Counter(4)));
    assert_eq!((of("worker_serving"), of("worker_request_cost")), (Value::Gauge(1.0), Value::Gauge(0.0005)));
}

#[test]
fn what_nobody_counts_is_absent() {
    let text = encode(families(&[fleet("web", "null")]), Format::Text);
    assert!(
        !text.contains("in_flight") && !text.contains("llb_worker_responses") && !text.contains("llb_line"),
        "{text}"
    );
    assert!(text.contains("llb_worker_connections_chosen_total{fleet=\"web\",slot=\"0\"} 12\n"), "{text}");
}

#[test]
fn two_fleets_share_each_family() {
    let fleets = [fleet("web", "4"), fleet("api", "4")];
    for format in [Format::OpenMetrics, Format::Text] {
        let text = encode(families(&fleets), format);
        let types: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
        assert_eq!(types.len(), types.iter().collect::<BTreeSet<_>>().len(), "{text}");
        assert!(text.contains("fleet=\"web\"") && text.contains("fleet=\"api\""), "{text}");
    }
    assert!(families(&[]).iter().all(|family| family.samples.is_empty()));
}
