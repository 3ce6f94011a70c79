//! Connections of llb to a worker of its choice.

use bytemuck::{Pod, Zeroable};

/// From where llb itself connects to one worker: a key of the map `REACHES`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct Asker {
    /// The address.
    pub source: crate::sticky::Source,
    /// The port, host byte order.
    pub port: u64,
}
const _: () = assert!(size_of::<Asker>() == 24);

/// Which worker such a connection is meant for: a value of the map `REACHES`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Reach {
    /// Index into `SOCKETS`: `group * MAX_SEATS + seat`.
    pub place: u32,
    /// 1 once the selector has sent it there.
    pub is_made: u32,
}
const _: () = assert!(size_of::<Reach>() == 8);
