//! Any bytes on the report channel, cut anywhere: they read the same as in one piece, every line is counted once, and a
//! line that is not to be understood harms nothing else.
#![no_main]

// The parser alone, not the crate that it is a part of: a build takes seconds.
#[expect(dead_code, unused_imports, reason = "llb uses more of it than this")]
#[path = "../../../llb-userspace/src/report/mod.rs"]
mod report;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use report::{Fault, MAX_LINE_BYTES, Reader, Report};

/// Few channels begin with a long line: each takes as long as a hundred others.
const LONG: u8 = 252;

#[derive(Arbitrary, Debug)]
struct Channel<'a> {
    budget: u8,
    /// Chunk lengths; the rest comes in one.
    cuts: [u8; 4],
    /// Beyond [`LONG`], so many blanks before the bytes that the first line is about as long as one may be.
    blanks: u8,
    bytes: &'a [u8],
}

fuzz_target!(|channel: Channel<'_>| {
    let blanks = channel.blanks.checked_sub(LONG).map_or(0, |more| MAX_LINE_BYTES - 2 + usize::from(more));
    let mut bytes = vec![b' '; blanks];
    bytes.extend_from_slice(channel.bytes);

    let (mut whole, mut chunked) = (Reader::new(channel.budget.into()), Reader::new(channel.budget.into()));
    let expected = read(&mut whole, &bytes);
    let mut reports = Vec::new();
    let mut rest = bytes.as_slice();
    for cut in channel.cuts {
        let (chunk, after) = rest.split_at(usize::from(cut).min(rest.len()));
        reports.extend(read(&mut chunked, chunk));
        rest = after;
    }
    reports.extend(read(&mut chunked, rest));
    assert_eq!(reports, expected);
    assert_eq!(chunked.counts(), whole.counts());
    assert_eq!(chunked.newly_seen(), whole.newly_seen());

    let unended = bytes.rsplit(|byte| *byte == b'\n').next().map_or(0, <[u8]>::len);
    let newlines = bytes.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(whole.counts().lines(), newlines as u64 + u64::from(unended > MAX_LINE_BYTES));
    let faults: u64 = Fault::ALL.iter().map(|fault| whole.counts().fault(*fault)).sum();
    assert_eq!(whole.counts().lines() - faults, expected.len() as u64);
    for report in expected {
        match report {
            Report::Latency { ns, requests } => {
                assert!(ns <= 3_600_000_000_000 && (1..=1_000_000).contains(&requests), "{report:?}");
            }
            Report::Pong { lag_ns, .. } => assert!(lag_ns <= 3_600_000_000_000, "{report:?}"),
            Report::Ready | Report::Disconnect => {}
        }
    }
});

fn read(reader: &mut Reader, bytes: &[u8]) -> Vec<Report> {
    let mut reports = Vec::new();
    reader.feed(bytes, |report| reports.push(report));
    reports
}
