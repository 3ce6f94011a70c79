//! What the books say of single connections, asked from another thread than the engine's.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use aya::maps::{Map, MapData, SkStorage};
use llb_common::{
    abi::Conn,
    names,
    track::{self, Phase},
};

use super::{KernelError, error::map_error, value::Value};

/// The books' connections.
pub(crate) struct Connections(SkStorage<MapData, Value<Conn>>);

impl Connections {
    /// Whether a connection holds no request, nor a handshake under way; none of one that is not in the books.
    #[must_use]
    pub(crate) fn is_at_rest(&self, socket: BorrowedFd<'_>) -> Option<bool> {
        let Value(conn) = self.0.get(&socket.as_raw_fd(), 0).ok()?;
        Some(conn.phase == Phase::Fresh as u32 || !track::may_answer(&conn))
    }
}

impl Connections {
    /// A second hand on the map.
    pub(super) fn of(map: &Map) -> Result<Self, KernelError> {
        let Map::SkStorage(data) = map else {
            return Err(KernelError::Missing { what: "map", name: names::CONN });
        };
        let fd = data.fd().as_fd().try_clone_to_owned();
        let fd = fd.map_err(|source| KernelError::Watch { map: names::CONN, source })?;
        let again = MapData::from_fd(fd).map(Map::SkStorage).map_err(map_error(names::CONN))?;
        again.try_into().map(Connections).map_err(map_error(names::CONN))
    }
}
