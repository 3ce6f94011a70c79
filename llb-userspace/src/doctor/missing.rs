//! What is not there, and what to do about it.

use std::{error::Error, fmt};

use serde::Serialize;

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

/// An error with its causes, in one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source()).map(ToString::to_string);
    let mut parts: Vec<String> = causes.collect();
    // Some say their cause themselves.
    parts.dedup_by(|cause, said| said.ends_with(cause.as_str()));
    parts.join(": ")
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::chain;

    #[test]
    fn a_cause_is_said_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot open /x{0}")]
        struct Outer(&'static str, #[source] io::Error);
        let source = || io::Error::other("no such file");
        assert_eq!(chain(&Outer("", source())), "cannot open /x: no such file");
        assert_eq!(chain(&Outer(": no such file", source())), "cannot open /x: no such file");
    }
}
