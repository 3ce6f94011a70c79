//! Why asking fails.

use std::{io, path::PathBuf};

use crate::control::FailureKind;

/// Why a master could not be asked.
///
/// ```
/// use llb::control::{Client, ControlError};
///
/// let nobody = Client::new("/no/such/directory", "web");
/// let error = nobody.status().unwrap_err();
/// assert_eq!(error.to_string(), "no llb named web runs here (/no/such/directory/web/control)");
/// assert!(matches!(error, ControlError::NotRunning { .. }));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// There is none.
    #[error("no llb named {name} runs here ({})", path.display())]
    NotRunning {
        /// The fleet's name.
        name: String,
        /// Its control socket.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// It does not answer.
    #[error("the llb named {name} does not answer")]
    NoAnswer {
        /// The fleet's name.
        name: String,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// It has ended without an answer.
    #[error("the llb named {name} has ended before it was done")]
    Ended {
        /// The fleet's name.
        name: String,
    },
    /// What it was told to do is not done.
    #[error("{name}: {error}")]
    Failed {
        /// The fleet's name.
        name: String,
        /// How it went.
        failure: FailureKind,
        /// Why.
        error: String,
    },
    /// It answers something else.
    #[error("the llb named {name} does not understand, is it of another version? It says: {says}")]
    NotUnderstood {
        /// The fleet's name.
        name: String,
        /// Its words.
        says: String,
    },
}
