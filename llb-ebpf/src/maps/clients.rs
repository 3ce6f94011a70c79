//! Clients that are remembered, and the homes of their slots.

use aya_ebpf::{
    macros::map,
    maps::{Array, LruHashMap},
};
use llb_common::{
    abi::{Client, Homes, MAX_GROUPS, NO_SEAT, Sticky},
    sticky::{CLIENTS as MAX_CLIENTS, MAX_HOMES, NEWCOMERS as MAX_NEWCOMERS, Source},
};

use super::{IF_NEW, MMAPABLE, group};
use crate::{kernel, sticky::is_member};

/// The loader makes this and the next three as small as can be if clients are not remembered.
#[map]
static CLIENTS: LruHashMap<Source, Client> = LruHashMap::with_max_entries(MAX_CLIENTS, 0);
#[map]
static NEWCOMERS: LruHashMap<Source, Client> = LruHashMap::with_max_entries(MAX_NEWCOMERS, 0);
#[map]
static STICKY: Array<Sticky> = Array::with_max_entries(1, MMAPABLE);
#[map]
static HOMES: Array<Homes> = Array::with_max_entries(MAX_GROUPS as u32, MMAPABLE);

/// What is said and counted of clients.
#[inline(always)]
pub fn sticky() -> Option<*mut Sticky> {
    STICKY.get_ptr_mut(0)
}

/// What is remembered of a client.
#[inline(always)]
pub fn client(client: &Source) -> Option<*mut Client> {
    CLIENTS.get_ptr_mut(client)
}

/// What is remembered of a newcomer.
#[inline(always)]
pub fn newcomer_ptr(client: &Source) -> Option<*mut Client> {
    NEWCOMERS.get_ptr_mut(client)
}

/// A copy of that.
#[inline(always)]
pub fn newcomer(client: &Source) -> Option<Client> {
    // SAFETY: copied at once.
    unsafe { NEWCOMERS.get(client) }.copied()
}

/// Remembers a newcomer; false if it is remembered already. A full LRU map drops one that has not come for long.
#[inline(always)]
pub fn enter_newcomer(client: &Source, entry: &Client) -> bool {
    NEWCOMERS.insert(client, entry, IF_NEW).is_ok()
}

/// Remembers a newcomer anew.
#[inline(always)]
pub fn renew_newcomer(client: &Source, entry: &Client) {
    let _ = NEWCOMERS.insert(client, entry, 0);
}

/// Forgets a newcomer.
#[inline(always)]
pub fn leave_newcomers(client: &Source) {
    let _ = NEWCOMERS.remove(client);
}

/// Remembers a client; false if it is remembered already.
#[inline(always)]
pub fn enter_client(client: &Source, entry: &Client) -> bool {
    CLIENTS.insert(client, entry, IF_NEW).is_ok()
}

/// The seat of a home that takes new connections in a group, or [`NO_SEAT`].
#[inline(always)]
pub fn at_home(index: u32, home: u32) -> u32 {
    let (Some(homes), Some(group)) = (HOMES.get_ptr(index), group(index)) else { return NO_SEAT };
    // SAFETY: a word of HOMES, and of GROUPS; the mask keeps the home inside.
    unsafe {
        let seats = (&raw const (*homes).seat).cast::<u16>();
        let seat = u32::from(kernel::read(seats.add(home as usize & (MAX_HOMES - 1)))).wrapping_sub(1);
        if seat != NO_SEAT && is_member(group, seat) { seat } else { NO_SEAT }
    }
}
