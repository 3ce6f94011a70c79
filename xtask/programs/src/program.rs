//! What is said of a program that is driven: where it comes from, how it is started, what its clients say.

/// Where a program comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// requirements.txt, into a virtual environment.
    Pip,
    /// package.json.
    Npm,
    /// runtimes.json: what runs JavaScript in Node's place.
    Runtime,
    /// Debian packages.
    Apt(&'static [&'static str]),
    /// Compiled from apps/ by the Go that `cargo xtask setup` installs.
    Go,
    /// Compiled from apps/ by javac.
    Java,
    /// Compiled from rust/ by cargo.
    Cargo,
}

/// What its clients say.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Speaks {
    /// HTTP/1.1, by one of the applications in apps/.
    Http,
    /// HTTP/1.1, for files only: it can neither wait nor stream.
    Files,
    /// Something else: what it greets with, a question and the begin of the answer.
    Lines { greeting: &'static [u8], ask: &'static [u8], answer: &'static [u8] },
}

/// One program.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) source: Source,
    /// The package whose version is said.
    pub(crate) package: &'static str,
    pub(crate) speaks: Speaks,
    /// The command, with {venv}, {built}, {runtimes} and {stage} for directories.
    pub(crate) command: &'static str,
    /// Options of llb that it needs beside the usual ones.
    pub(crate) flags: &'static [&'static str],
    /// Files in its directory, beside the applications.
    pub(crate) files: &'static [(&'static str, &'static str)],
    /// Whether its code can be broken so that a new worker fails.
    pub(crate) breaks: bool,
    /// The command with which it ends itself after some requests.
    pub(crate) recycles: Option<&'static str>,
    /// The flag or line that helps it most.
    pub(crate) helps: &'static str,
    /// What its own graceful end loses now and then, where it does, though a run may not show it.
    pub(crate) own_losses: Option<&'static str>,
    /// Whether continuous integration drives it.
    pub(crate) few: bool,
}

impl Program {
    /// The name as a file name.
    pub(crate) fn slug(&self) -> String {
        let words: Vec<&str> =
            self.name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
        words.join("-")
    }
}
