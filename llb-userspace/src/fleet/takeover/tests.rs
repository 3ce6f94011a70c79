use std::fs;

use proptest::prelude::{ProptestConfig, any, prop, proptest};

use super::{FORMAT, Obstacle, Record, Terms, Totals};

fn terms() -> Terms {
    Terms { format: FORMAT, abi: "A".into(), boot: "now".into(), tracking: "full".into(), ..Terms::default() }
}

fn record() -> Record {
    Record {
        terms: terms(),
        cgroup: "/sys/fs/cgroup/llb.web".into(),
        cgroup_id: 7,
        worker_level: Some(2),
        generation: 3,
        reloading: None,
        unattended: Vec::new(),
        slots: Vec::new(),
        totals: Totals::default(),
        workers: Vec::new(),
    }
}

#[test]
fn what_is_written_is_read() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(Record::read(directory.path(), &terms()).unwrap(), None);
    Record::write(&serde_json::to_vec(&record()).unwrap(), directory.path()).unwrap();
    assert_eq!(Record::read(directory.path(), &terms()).unwrap(), Some(record()));
    let later = Terms { boot: "later".into(), ..terms() };
    assert_eq!(Record::read(directory.path(), &later).unwrap(), None, "nothing has survived");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn other_terms_are_named() {
    let directory = tempfile::tempdir().unwrap();
    Record::write(&serde_json::to_vec(&record()).unwrap(), directory.path()).unwrap();
    for (here, said) in [
        (Terms { format: FORMAT + 1, ..terms() }, "another version: its format of the state is 1, here it is 2"),
        (Terms { abi: "B".into(), ..terms() }, "another version: its layout of the maps is A, here it is B"),
        (Terms { ports: vec!["80".into()], ..terms() }, r#"-p is another than when it was started ("", now "80")"#),
        (Terms { tracking: "off".into(), ..terms() }, "--tracking is another"),
        (Terms { sticky: "source 32,128".into(), ..terms() }, "--sticky is another"),
        (Terms { user: 33, ..terms() }, "the workers' user is another"),
    ] {
        let error = Record::read(directory.path(), &here).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn a_record_of_another_version_need_not_have_the_same_fields() {
    let directory = tempfile::tempdir().unwrap();
    Record::write(br#"{"format":99,"boot":"now","what":"else"}"#, directory.path()).unwrap();
    let error = Record::read(directory.path(), &terms()).unwrap_err();
    assert!(matches!(error, Obstacle::Version { what: "format of the state", .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_record_that_was_cut_or_garbled_is_no_record(cut in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let whole = serde_json::to_vec(&record()).unwrap();
        let at = cut.index(whole.len());
        let directory = tempfile::tempdir().unwrap();
        Record::write(&whole[..at], directory.path()).unwrap();
        assert!(matches!(Record::read(directory.path(), &terms()), Err(Obstacle::Unreadable(_))));
        let mut garbled = whole;
        garbled[at] = byte;
        Record::write(&garbled, directory.path()).unwrap();
        // It may be understood, and then it is checked against what there is.
        let _ = Record::read(directory.path(), &terms());
    }
}
