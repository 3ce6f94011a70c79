//! How a master begins: with what an earlier one has left, or afresh; and what it gives up once it has begun.

mod found;
#[expect(unreachable_pub, reason = "`pub` says what this room shows to the others")]
pub(crate) mod guard;
mod leftover;
mod rights;
mod start;

pub(super) use self::{
    found::{EndedWorker, record_of},
    rights::shed,
};
