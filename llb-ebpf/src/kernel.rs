//! The helpers that the programs call, each with the reason why the call is sound.

use core::{
    ffi::c_void,
    intrinsics::{
        AtomicOrdering::{AcqRel, Relaxed},
        atomic_and, atomic_or, atomic_xadd,
    },
    ptr,
};

use aya_ebpf::{
    EbpfContext,
    helpers::generated::{bpf_get_socket_cookie, bpf_jiffies64, bpf_ktime_get_ns, bpf_sk_storage_get},
};

/// Nanoseconds of `CLOCK_MONOTONIC`.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: takes nothing and touches nothing.
    unsafe { bpf_ktime_get_ns() }
}

/// Ticks of the kernel's clock: one load from memory, where [`now`] reads a counter and computes.
#[inline(always)]
pub fn ticks() -> u64 {
    // SAFETY: takes nothing and touches nothing.
    unsafe { bpf_jiffies64() }
}

/// The cookie of the socket that a program runs for.
#[inline(always)]
pub fn cookie(ctx: &impl EbpfContext) -> u64 {
    // SAFETY: the helper accepts the context of every program type that calls this.
    unsafe { bpf_get_socket_cookie(ctx.as_ptr()) }
}

/// The cookie of a socket that the context points to.
///
/// # Safety
/// `sk` is a socket pointer that was read from the program's context and is not null.
#[inline(always)]
pub unsafe fn cookie_of<T>(sk: *mut T) -> u64 {
    // SAFETY: the caller's promise; the verifier checks it again.
    unsafe { bpf_get_socket_cookie(sk.cast()) }
}

/// The value that a socket carries in a storage map, made from `initial` if it has none and `initial` is given.
///
/// # Safety
/// `map` is an `SK_STORAGE` map of `V`, and `sk` a full socket from the program's context or null.
#[inline(always)]
pub unsafe fn storage<'a, V, M>(map: *const M, sk: *mut c_void, initial: Option<&mut V>) -> Option<&'a mut V> {
    /// `BPF_SK_STORAGE_GET_F_CREATE`
    const CREATE: u64 = 1;
    if sk.is_null() {
        return None;
    }
    let (value, flags) = match initial {
        Some(value) => (ptr::from_mut(value), CREATE),
        None => (ptr::null_mut(), 0),
    };
    // SAFETY: the caller's promise. The value lives as long as the socket, which outlives the program's run; two
    // programs may hold it at once on two CPUs, as every BPF program that uses socket storage does.
    unsafe { bpf_sk_storage_get(map.cast_mut().cast(), sk, value.cast(), flags).cast::<V>().as_mut() }
}

/// One locked addition.
///
/// # Safety
/// `word` points into a map value.
#[inline(always)]
pub unsafe fn add(word: *mut u64, by: u64) {
    // SAFETY: the caller's promise; map values are 8-byte aligned. What was there before is not to be had this way:
    // LLVM makes of a relaxed addition the instruction that does not return it, also where it is used.
    let _ = unsafe { atomic_xadd::<u64, u64, { Relaxed }>(word, by) };
}

/// One locked addition; returns what was there before.
///
/// # Safety
/// `word` points into a map value.
#[inline(always)]
pub unsafe fn fetch_add(word: *mut u64, by: u64) -> u64 {
    // SAFETY: the caller's promise; map values are 8-byte aligned. The ordering is not needed for itself: it selects
    // the instruction that fetches, see `add`.
    unsafe { atomic_xadd::<u64, u64, { AcqRel }>(word, by) }
}

/// Sets bits.
///
/// # Safety
/// `word` points into a map value.
#[inline(always)]
pub unsafe fn set_bits(word: *mut u64, bits: u64) {
    // SAFETY: the caller's promise.
    let _ = unsafe { atomic_or::<u64, u64, { Relaxed }>(word, bits) };
}

/// Clears bits; returns those of them that were set.
///
/// # Safety
/// `word` points into a map value.
#[inline(always)]
pub unsafe fn take_bits(word: *mut u64, bits: u64) -> u64 {
    // SAFETY: the caller's promise; the ordering as in `fetch_add`.
    unsafe { atomic_and::<u64, u64, { AcqRel }>(word, !bits) & bits }
}

/// A word that others write at the same time.
///
/// # Safety
/// `word` points into a map value.
#[inline(always)]
pub unsafe fn read<T: Copy>(word: *const T) -> T {
    // SAFETY: the caller's promise; volatile, so that it is read once.
    unsafe { word.read_volatile() }
}

/// Writes a word that others read at the same time.
///
/// # Safety
/// `word` points into a map value.
#[inline(always)]
pub unsafe fn write<T>(word: *mut T, value: T) {
    // SAFETY: the caller's promise.
    unsafe { word.write_volatile(value) }
}
