//! A fleet's name: part of paths, so not every text will do.

use std::{fmt, str::FromStr};

/// Room enough for a host name, and far from the 255 bytes that a file name may have.
const LONGEST: usize = 64;

/// The name of a fleet. A machine runs at most one llb of each name.
///
/// ```
/// use llb::config::{Name, NameError};
///
/// let name: Name = "web-1.blue".parse()?;
/// assert_eq!(name.as_str(), "web-1.blue");
/// let error: NameError = "../web".parse::<Name>().unwrap_err();
/// assert!(error.to_string().starts_with("\"../web\" cannot be a fleet's name"));
/// # Ok::<(), NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(String);

/// The text cannot be a fleet's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot be a fleet's name; use 1 to {LONGEST} of the characters A-Z a-z 0-9 _ . -, \
     and neither a dot nor a dash first"
)]
pub struct NameError(String);

impl Name {
    /// What a fleet is called that nobody has given a name.
    pub(crate) fn main() -> Self {
        Name("main".to_owned())
    }

    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        // A leading dot is a hidden file or a way out of the directory, a leading dash an option.
        let valid = (1..=LONGEST).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with(['.', '-']);
        if valid { Ok(Self(text.to_owned())) } else { Err(NameError(text.to_owned())) }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::Name;

    #[test]
    fn names_are_safe_in_paths() {
        for name in ["a", "web-1.blue_green", "_x", "8080", &"n".repeat(64)] {
            assert_eq!(name.parse::<Name>().unwrap().as_str(), name);
        }
        for text in ["", ".", "..", ".x", "-x", "a/b", "a b", "ä", "a\0", "a\n", &"n".repeat(65)] {
            let error = text.parse::<Name>().unwrap_err();
            assert!(error.to_string().starts_with(&format!("{text:?} cannot be")));
        }
    }
}
