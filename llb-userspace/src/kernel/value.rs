//! Lets aya copy the values of `llb_common::abi` into and out of maps.
#![expect(unsafe_code, reason = "aya::Pod is an unsafe trait, and aya checks nothing itself")]

/// A value of a map.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Value<T>(pub T);

// SAFETY: aya asks for types that are valid for any bytes and can be copied; bytemuck's derive has proved both, and
// that there is no padding, when T was compiled. The wrapper is transparent.
unsafe impl<T: bytemuck::Pod> aya::Pod for Value<T> {}
