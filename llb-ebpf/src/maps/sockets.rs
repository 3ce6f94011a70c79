//! What is kept of each socket: whose it is, and its connection's books.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    macros::{btf_map, map},
    maps::HashMap,
};
use llb_common::abi::{Conn, MAX_LISTENERS, OWNER_ALONE, Owner};

use super::IF_NEW;
use crate::kernel;

/// `BPF_F_NO_PREALLOC`, which socket storage demands.
const NO_PREALLOC: usize = 1;

/// `BPF_F_CLONE`: accepted connections inherit the listener's value.
const CLONE: usize = 1 << 9;

/// A socket storage map as BTF describes it: the kernel takes these maps in no other form, and `aya_ebpf`'s own type
/// fixes the flags.
#[repr(C)]
struct Storage<V: 'static, const FLAGS: usize> {
    r#type: *const [i32; 24],
    key: *const i32,
    value: *const V,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; FLAGS],
}

// SAFETY: the struct only describes the map; its pointers are never followed.
unsafe impl<V, const FLAGS: usize> Sync for Storage<V, FLAGS> {}

impl<V, const FLAGS: usize> Storage<V, FLAGS> {
    const fn new() -> Self {
        Storage {
            r#type: ptr::null(),
            key: ptr::null(),
            value: ptr::null(),
            max_entries: ptr::null(),
            map_flags: ptr::null(),
        }
    }
}

#[btf_map]
static CONN: Storage<Conn, { NO_PREALLOC | CLONE }> = Storage::new();
#[btf_map]
static OWNER: Storage<Owner, { NO_PREALLOC }> = Storage::new();

/// The first socket of each worker on each address, by cookie. Those that it only binds count as well.
#[map]
static BOUND: HashMap<Owner, u64> = HashMap::with_max_entries(MAX_LISTENERS as u32, 0);

/// A full socket's books; none for a socket that is not of a seat.
#[inline(always)]
pub fn conn<'a>(sk: *mut c_void) -> Option<&'a mut Conn> {
    // SAFETY: CONN holds `Conn`; all callers pass a full socket of their context or null.
    unsafe { kernel::storage(&raw const CONN, sk, None) }
}

/// Whose socket it is.
#[inline(always)]
pub fn owner(sk: *mut c_void) -> Option<Owner> {
    owner_mut(sk).copied()
}

/// The same, if the socket is one to be steered.
#[inline(always)]
pub fn steered_owner(sk: *mut c_void) -> Option<Owner> {
    owner(sk).filter(|owner| owner.flags & OWNER_ALONE == 0)
}

/// The tag of a socket, to be changed.
#[inline(always)]
pub fn owner_mut<'a>(sk: *mut c_void) -> Option<&'a mut Owner> {
    // SAFETY: OWNER holds `Owner`; all callers pass a full socket of their context, or the context itself where it is one,
    // or null.
    unsafe { kernel::storage::<Owner, _>(&raw const OWNER, sk, None) }
}

/// Tags a socket with its worker; false if the kernel has no memory for it.
#[inline(always)]
pub fn set_owner(sk: *mut c_void, mut owner: Owner) -> bool {
    // SAFETY: as above.
    match unsafe { kernel::storage(&raw const OWNER, sk, Some(&mut owner)) } {
        Some(value) => {
            *value = owner;
            true
        }
        None => false,
    }
}

/// The key of [`BOUND`]: how the socket came to its port is no part of it.
#[inline(always)]
fn bound_key(owner: &Owner) -> Owner {
    Owner { flags: 0, ..*owner }
}

/// Notes the socket as the one of its worker on its address; false if another is there. A full map notes none.
#[inline(always)]
pub fn bind(owner: &Owner, cookie: u64) -> bool {
    let _ = BOUND.insert(bound_key(owner), cookie, IF_NEW);
    holds(owner, cookie)
}

/// Whether no other socket of the worker is noted on the address.
#[inline(always)]
pub fn holds(owner: &Owner, cookie: u64) -> bool {
    // SAFETY: copied at once.
    unsafe { BOUND.get(bound_key(owner)) }.copied().is_none_or(|holder| holder == cookie)
}

/// Forgets the socket, if it is the one that is noted.
#[inline(always)]
pub fn unbind(owner: &Owner, cookie: u64) {
    let key = bound_key(owner);
    // SAFETY: copied at once.
    if unsafe { BOUND.get(key) }.copied() == Some(cookie) {
        let _ = BOUND.remove(key);
    }
}
