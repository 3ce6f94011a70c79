use super::*;
use proptest::prelude::*;

#[test]
fn the_word_ready_needs_no_newline() {
    for word in ["ready", "\"ready\"", "{\"cmd\":\"ready\"}"] {
        let mut reader = Reader::new(10);
        assert_eq!(read(&mut reader, word.as_bytes()), []);
        assert!(reader.awaits_end_of_word());
        let mut reports = Vec::new();
        reader.end_word(|report| reports.push(report));
        assert_eq!(reports, [Report::Ready]);
        assert!(!reader.awaits_end_of_word());
        assert_eq!(read(&mut reader, b"\n"), [], "its newline comes late");
    }
    let mut reader = Reader::new(10);
    read(&mut reader, b"read");
    reader.end_word(|report| panic!("{report:?}"));
    assert_eq!(read(&mut reader, b"y\n"), [Report::Ready]);
}

#[test]
fn a_programs_own_messages_are_passed_on_within_bounds() {
    let mut reader = Reader::new(1_000);
    let own = ["{\"event\":\"cache warm\"}", "[1,2]", "{\"cmd\":\"mine\",\"n\":1}"];
    read(&mut reader, format!("{}\nnonsense\n{{\"cmd\":\"ready\"}}\n", own.join("\n")).as_bytes());
    assert_eq!(reader.messages(), own);
    assert_eq!(reader.counts().fault(Fault::NoCommand) + reader.counts().fault(Fault::UnknownCommand), 3);
    let long = format!("[\"{}\"]\n", "x".repeat(MAX_MESSAGE_BYTES));
    read(&mut reader, (long + &"[]\n".repeat(100)).as_bytes());
    assert_eq!(reader.messages().len(), MESSAGES as usize - own.len());
    reader.refill(1_000);
    read(&mut reader, b"[]\n");
    assert_eq!(reader.messages(), ["[]"]);
}

fn read(reader: &mut Reader, bytes: &[u8]) -> Vec<Report> {
    let mut reports = Vec::new();
    reader.feed(bytes, |report| reports.push(report));
    reports
}

#[test]
fn a_line_may_come_in_pieces() {
    let mut reader = Reader::new(10);
    assert_eq!(read(&mut reader, br#"{"cmd":"rea"#), []);
    assert_eq!(read(&mut reader, b"dy\"}"), []);
    assert_eq!(read(&mut reader, b"\nready\nrea"), [Report::Ready, Report::Ready]);
    assert_eq!((reader.counts().ready, reader.counts().lines()), (2, 2));
}

#[test]
fn a_line_of_the_greatest_length_is_read_and_a_longer_one_skipped() {
    let mut reader = Reader::new(10);
    let mut line = b"ready".to_vec();
    line.resize(MAX_LINE_BYTES, b' ');
    assert_eq!(read(&mut reader, &line), []);
    assert_eq!(read(&mut reader, b"\n"), [Report::Ready]);
    line.push(b' ');
    assert_eq!(read(&mut reader, &line), []);
    assert_eq!(reader.newly_seen(), [Fault::TooLong]);
    assert_eq!(read(&mut reader, b"ready\nready\n"), [Report::Ready]);
    assert_eq!((reader.counts().fault(Fault::TooLong), reader.counts().lines()), (1, 3));
}

#[test]
fn a_flood_loses_latencies_and_nothing_else() {
    let mut reader = Reader::new(2);
    let flood = b"{\"cmd\":\"latency\",\"us\":1}\n".repeat(5);
    assert_eq!(read(&mut reader, &flood).len(), 2);
    let vital = b"ready\n{\"cmd\":\"disconnect\"}\n{\"cmd\":\"pong\",\"id\":1}\n";
    assert_eq!(read(&mut reader, vital), [Report::Ready, Report::Disconnect, Report::Pong { id: 1, lag_ns: 0 }]);
    assert_eq!(reader.counts().fault(Fault::OverBudget), 3);
    reader.refill(1);
    assert_eq!(read(&mut reader, &flood).len(), 1);
}

#[test]
fn each_kind_of_fault_is_new_once() {
    let mut reader = Reader::new(10);
    read(&mut reader, b"\n\nwhat\n");
    assert_eq!(reader.newly_seen(), [Fault::Empty, Fault::NotJson]);
    read(&mut reader, b"\n7\n");
    assert_eq!(reader.newly_seen(), [Fault::NoCommand]);
    assert_eq!(reader.counts().fault(Fault::Empty), 3);
}

/// Lines that mean something, lines that do not, and bytes that are not even lines.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        10 => prop::sample::select(vec![
            &b"{\"cmd\":\"latency\",\"us\":12.5}\n"[..],
            b"{\"cmd\":\"latency\",\"us\":1,\"x\":2}\n",
            b"{\"cmd\":\"latency\",\"us\":1,\"n\":2}\n",
            b"{\"cmd\":\"pong\",\"id\":3}\n",
            b"{\"cmd\":\"NODE_X\"}\n",
            b"{\"cmd\":\"latency\",\"us\":-1}\n",
            b"\"ready\"\n",
            b"ready",
            b"\n",
        ])
        .prop_map(<[u8]>::to_vec),
        10 => prop::collection::vec(any::<u8>(), 0..40),
        1 => (MAX_LINE_BYTES - 1..MAX_LINE_BYTES + 2).prop_map(|length| vec![b'1'; length]),
    ];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_in_any_chunks_read_the_same_and_every_line_is_counted_once(
        bytes in any_bytes(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10), budget in 0u32..20,
    ) {
        let (mut whole, mut chunked) = (Reader::new(budget), Reader::new(budget));
        let expected = read(&mut whole, &bytes);

        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let mut reports = Vec::new();
        let mut begin = 0;
        for end in cuts.into_iter().chain([bytes.len()]) {
            reports.extend(read(&mut chunked, &bytes[begin..end]));
            begin = end;
        }
        prop_assert_eq!(&reports, &expected);
        prop_assert_eq!(chunked.counts(), whole.counts());
        prop_assert_eq!(chunked.newly_seen(), whole.newly_seen());

        let unended = bytes.rsplit(|byte| *byte == b'\n').next().map_or(0, <[u8]>::len);
        let newlines = bytes.iter().filter(|byte| **byte == b'\n').count();
        prop_assert_eq!(whole.counts().lines(), newlines as u64 + u64::from(unended > MAX_LINE_BYTES));
        let faults: u64 = Fault::ALL.iter().map(|fault| whole.counts().fault(*fault)).sum();
        prop_assert_eq!(whole.counts().lines() - faults, expected.len() as u64);
    }
}
