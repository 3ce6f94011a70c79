//! Any datagram, as the kernel reads it: what names a worker is a whole connection id of the layout, and nothing else is read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use llb_common::quic::{HEAD, begins, short_id, told, worker_of};

fuzz_target!(|datagram: &[u8]| {
    let Some(head) = datagram.first_chunk::<HEAD>() else { return };
    // An id that goes by its beginning is the same, whatever comes behind it.
    let mut longer = *head;
    longer[8] ^= 0xff;
    assert_eq!(short_id(head, told(4)), short_id(&longer, told(4)));
    assert_eq!(short_id(head, told(20)).is_none(), head[0] & 0x80 != 0);
    assert!(!begins(head) || short_id(head, told(20)).is_none());
    let Some(worker) = worker_of(head, datagram.len() as u32) else { return };
    let id = if head[0] & 0x80 == 0 {
        &datagram[1..]
    } else {
        assert!(datagram.len() > 6 + usize::from(head[5]));
        &datagram[6..6 + usize::from(head[5])]
    };
    let rest = usize::from(id[0]);
    assert!((6..=19).contains(&rest) && id.len() > rest);
    assert_eq!(worker, u32::from(u16::from_be_bytes([id[1], id[2]])));
    // The rest of the id, and what comes behind it, say nothing.
    let mut other = *head;
    other[0] ^= 0x7f;
    assert_eq!(worker_of(&other, u32::MAX), Some(worker));
});
