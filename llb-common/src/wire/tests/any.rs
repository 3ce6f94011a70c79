//! Whatever may be said.

use super::*;

/// One of everything that may be on the wire.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let tls =
        prop::collection::vec((20u8..25, prop_oneof![Just(53u16), Just(69), Just(19), Just(250), 0u16..600]), 1..4);
    let http2 = prop::collection::vec((0u8..10, 0u8..8, 0u32..12, 0u32..40), 1..30);
    prop_oneof![
        Just(b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        Just(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
        Just(b"HTTP/1.1 500 No\r\n\r\n".to_vec()),
        Just(b"HTTP/1.1 101 Switching\r\n\r\n".to_vec()),
        Just(PREFACE.to_vec()),
        tls.prop_map(|all| records(&all)),
        http2.prop_map(|all| all.into_iter().flat_map(|(kind, flags, id, len)| frame(kind, flags, id, len)).collect()),
        prop::collection::vec(any::<u8>(), 1..80),
    ]
}

proptest! {
    /// Whatever comes, in whatever order, lost, repeated or cut: the books are in order, and nothing is left.
    #[test]
    fn the_books_balance_whatever_is_said(
        said in prop::collection::vec((any_bytes(), any::<bool>(), 0u8..8, 0usize..600, 0u64..100), 0..40),
        brought: bool,
        closer in 0usize..3,
    ) {
        let mut talk = Talk::new();
        if brought {
            let step = track::bytes_in(&talk.conn, talk.now);
            talk.step(step);
        }
        for (bytes, out, fate, cut, pause) in said {
            talk.now += pause * MS;
            let cut = cut.min(bytes.len());
            let seq = talk.sent[usize::from(out)];
            match fate {
                // Lost, as far as we see; repeated; cut in two; in the wrong order.
                0 => talk.sent[usize::from(out)] = seq.wrapping_add(bytes.len() as u32),
                1 => {
                    talk.says(out, &bytes);
                    talk.segment(out, seq, &bytes);
                }
                2 => {
                    talk.says(out, &bytes[..cut]);
                    talk.says(out, &bytes[cut..]);
                }
                3 => {
                    talk.segment(out, seq.wrapping_add(cut as u32), &bytes[cut..]);
                    talk.says(out, &bytes);
                }
                _ => {
                    talk.says(out, &bytes);
                }
            }
            let seat = &talk.seat;
            prop_assert!(seat.ended <= seat.begun && seat.answered <= seat.begun, "{seat:?}");
            prop_assert_eq!(seat.begun - seat.ended, u64::from(in_flight(&talk.conn)));
            prop_assert!(seat.settled <= seat.charged);
        }
        talk.close([Closer::Worker, Closer::Client, Closer::Reset][closer]);
        prop_assert_eq!((talk.seat.begun, talk.seat.opened), (talk.seat.ended, talk.seat.closed));
        prop_assert!(talk.seat.answered + talk.seat.failed <= talk.seat.begun + 1);
    }

    /// And nothing panics for any words at all.
    #[test]
    fn nothing_panics_whatever_the_state(state: u32, phase in 0u32..5, bytes in any_bytes(), rest: u32, have in 0u32..9, last: u32) {
        let direction = Direction { rest, have, last, ..Direction::default() };
        let conn = Conn { state, phase, inward: direction, outward: direction, ..Conn::default() };
        for out in [false, true] {
            let mut talk = Talk { conn, ..Talk::new() };
            talk.seat.begun = 1 << 20;
            talk.segment(out, 0, &bytes);
        }
    }
}
