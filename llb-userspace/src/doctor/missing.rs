//! What is not there, and what to do about it.

use std::{error::Error, fmt};

use serde::Serialize;

use crate::causes::chain;

/// A thing that llb needs and has not got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Missing {
    /// What was tried, on what, and what the system said.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

/// What came of a try: something for the next one and a word of what was seen, or what is missing.
pub(super) type Tried<T> = Result<(T, String), Missing>;

impl Missing {
    pub(super) fn new(what: impl fmt::Display, remedy: impl Into<String>) -> Self {
        Missing { what: what.to_string(), remedy: remedy.into() }
    }

    /// From an error, with its causes.
    pub(super) fn error(error: &dyn Error, remedy: impl Into<String>) -> Self {
        Missing::new(chain(error), remedy)
    }
}
