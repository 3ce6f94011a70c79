//! Sticky sessions: a client's connections go to one slot, whose worker keeps what it knows of the client in its memory. What
//! the selector decides about a known client is here, and what both sides have to know.
//!
//! A *client* is a source address, or the network that it is in. Its *home* is a slot, and in that a *lane*: which of the
//! listeners, if the worker has several on one address. A reload changes the seat of a home, and not the homes of clients.
//!
//! ```
//! use llb_common::{abi::{Client, NO_SEAT}, sticky::{AWAY, NEW, NO_HOME, OUT, Source, bound, fade, find, home, is_known, slot_of}};
//!
//! // Every address of 192.0.2.0/24 is one client, over IPv4 and over a socket of both families.
//! let client = Source::v4(0xc000_0207).masked(24, 64);
//! assert_eq!(client, Source::v4(0xc000_02ff).masked(24, 64));
//! assert_eq!(client, Source::v6(0, 0xffff_c000_02ff).masked(24, 64));
//!
//! // It lives in slot 3, whose worker has seat 7.
//! let known = Client { used_at: 1_000, home: home(3, 0), away: NO_HOME };
//! let (ttl_ns, slots) = (500, 4);
//! let up = |home| if slot_of(home) == 3 { 7 } else { NO_SEAT };
//! assert_eq!(find(&known, ttl_ns, slots, 1_400, up), 7);
//! assert_eq!(find(&known, ttl_ns, slots, 1_500, up), NEW, "not for so long");
//! assert!(!is_known(&known, ttl_ns, slots, 1_500));
//! assert_eq!(find(&known, ttl_ns, 3, 1_400, up), NEW, "the slot is gone for good");
//! // While its slot is down it has a place to stay.
//! let down = |home| if slot_of(home) == 1 { 5 } else { NO_SEAT };
//! assert_eq!(find(&known, ttl_ns, slots, 1_400, down), OUT);
//! assert_eq!(find(&Client { away: home(1, 0), ..known }, ttl_ns, slots, 1_400, down), AWAY | 5);
//!
//! // No slot gets a new client that would have more than a quarter more than the mean, and one.
//! assert_eq!(bound([10, 10, 20, 0].into_iter()), 13);
//!
//! // Nobody says when a client has gone: of 80 an eighth is taken to have.
//! assert_eq!(fade(80), 10);
//! ```

use bytemuck::{Pod, Zeroable};

use crate::abi::{Client, MAX_SEATS, NO_SEAT};

/// Lanes of a slot: so many listeners on one address get clients of their own, more share them.
pub const LANES: usize = 4;

/// All homes.
pub const MAX_HOMES: usize = MAX_SEATS * LANES;

/// "No home" where one is expected.
pub const NO_HOME: u32 = u32::MAX;

/// Clients that are remembered, the longest unused of which is forgotten for a new one: 70 new ones a second for the hour that
/// is the default. That takes 30 MB, and only where clients are remembered at all.
pub const CLIENTS: u32 = 1 << 18;

/// Clients that are remembered before their first connection is established: several that come at once go to one slot all the
/// same. What has never been established may be forged, so it has a table of its own, which a flood can fill as it likes.
pub const NEWCOMERS: u32 = 1 << 14;

/// [`find`]: the seat beside this is not that of the client's slot.
pub const AWAY: u32 = 1 << 8;
/// [`find`]: its slot is out, and nobody stands in for it.
pub const OUT: u32 = 1 << 9;
/// [`find`]: not known, or not any more.
pub const NEW: u32 = 1 << 10;

/// So many times in the life of a client an eighth of each slot's clients is taken to have gone.
pub const FADES: u32 = 8;

/// Where a connection comes from: the key of the map `CLIENTS`. IPv6, or IPv4 as `::ffff:a.b.c.d`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct Source {
    /// The upper half, as a number.
    pub hi: u64,
    /// The lower one.
    pub lo: u64,
}
const _: () = assert!(size_of::<Source>() == 16);

impl Source {
    /// An IPv4 address, as a number.
    #[must_use]
    #[inline(always)]
    pub const fn v4(address: u32) -> Self {
        Source { hi: 0, lo: 0xffff << 32 | address as u64 }
    }

    /// An IPv6 address, as two numbers.
    #[must_use]
    #[inline(always)]
    pub const fn v6(hi: u64, lo: u64) -> Self {
        Source { hi, lo }
    }

    /// The network that it is in, of so many bits: 1 to 32 of IPv4, 1 to 128 of IPv6.
    #[must_use]
    #[inline(always)]
    pub const fn masked(self, v4: u32, v6: u32) -> Self {
        let Source { hi, lo } = self;
        if hi == 0 && lo >> 32 == 0xffff {
            return Source { hi, lo: lo & !0 << (32u32.wrapping_sub(v4) & 31) };
        }
        match v6 {
            ..64 => Source { hi: hi & !0 << (64u32.wrapping_sub(v6) & 63), lo: 0 },
            64 => Source { hi, lo: 0 },
            _ => Source { hi, lo: lo & !0 << (128u32.wrapping_sub(v6) & 63) },
        }
    }
}

/// The home of a lane in a slot.
#[must_use]
#[inline(always)]
pub const fn home(slot: u32, lane: usize) -> u32 {
    slot % MAX_SEATS as u32 + (lane % LANES) as u32 * MAX_SEATS as u32
}

/// The slot of a home.
#[must_use]
#[inline(always)]
pub const fn slot_of(home: u32) -> u32 {
    home % MAX_SEATS as u32
}

/// Whether a client is still known: seen within `ttl_ns`, and of one of the `slots` that there are.
#[must_use]
#[inline(always)]
pub const fn is_known(client: &Client, ttl_ns: u64, slots: u32, now: u64) -> bool {
    now.saturating_sub(client.used_at) < ttl_ns && slot_of(client.home) < slots
}

/// Where a client that has come back goes: the seat of its home, `AWAY` and the one that stands in, [`OUT`], or [`NEW`]. `seat`
/// says which seat a home has that takes connections, or [`NO_SEAT`].
#[must_use]
#[inline(always)]
pub fn find(client: &Client, ttl_ns: u64, slots: u32, now: u64, seat: impl Fn(u32) -> u32) -> u32 {
    if !is_known(client, ttl_ns, slots, now) {
        return NEW;
    }
    let at_home = seat(client.home);
    if at_home != NO_SEAT {
        return at_home;
    }
    let away = if client.away == NO_HOME { NO_SEAT } else { seat(client.away) };
    if away == NO_SEAT { OUT } else { AWAY | away }
}

/// From so many clients on a slot gets no new ones, while another has fewer. `clients` are those of each slot that takes some.
#[must_use]
pub fn bound(clients: impl Iterator<Item = u64>) -> u64 {
    let (slots, all) = clients.fold((0, 0u64), |(slots, all), clients| (slots + 1, all.saturating_add(clients)));
    if slots == 0 { 0 } else { all.saturating_mul(5) / (4 * slots) + 1 }
}

/// How many of a slot's clients have gone by the time of the next fade: which ones nobody counts. After as long as a client is
/// remembered two thirds have; of a few all.
#[must_use]
pub const fn fade(clients: u64) -> u64 {
    clients.div_ceil(FADES as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_where_they_say() {
        let all = Source::v6(u64::MAX, u64::MAX);
        for (v6, hi, lo) in [
            (1, 1 << 63, 0),
            (63, !1, 0),
            (64, u64::MAX, 0),
            (65, u64::MAX, 1 << 63),
            (127, u64::MAX, !1),
            (128, u64::MAX, u64::MAX),
        ] {
            assert_eq!(all.masked(32, v6), Source::v6(hi, lo), "{v6}");
        }
        for (v4, expected) in [(1, 1 << 31), (24, 0xffff_ff00), (31, !1), (32, u32::MAX)] {
            assert_eq!(Source::v4(u32::MAX).masked(v4, 1), Source::v4(expected), "{v4}");
        }
    }

    #[test]
    fn homes_are_apart() {
        let mut taken = [false; MAX_HOMES];
        for (slot, lane) in (0..MAX_SEATS as u32).flat_map(|slot| (0..LANES).map(move |lane| (slot, lane))) {
            let home = home(slot, lane);
            assert!(!taken[home as usize], "{slot}, {lane}");
            assert_eq!(slot_of(home), slot);
            taken[home as usize] = true;
        }
        assert_eq!(home(3, LANES), home(3, 0), "more listeners than lanes share them");
    }

    #[test]
    fn a_new_slot_gets_clients_until_it_has_its_share() {
        let bound = bound([100, 100, 0].into_iter());
        assert!((67..=100).contains(&bound), "{bound}");
        assert_eq!(super::bound(core::iter::empty()), 0);
    }

    #[test]
    fn all_clients_fade_in_time() {
        let mut clients = 1_000u64;
        for _ in 0..FADES {
            clients -= fade(clients);
        }
        assert!((300..360).contains(&clients), "{clients}");
        for _ in 0..8 * FADES {
            clients -= fade(clients);
        }
        assert_eq!(clients, 0);
    }
}
