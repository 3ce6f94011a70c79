//! Errors with their causes, as they are shown.

use std::error::Error;

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
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
