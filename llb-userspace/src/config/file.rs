//! The configuration file: TOML, whose keys are the options of `llb run`. What the options are, and which values they
//! take, the command line defines; here is what was written, and where.

use std::{
    fmt, fs, io,
    ops::Range,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// It cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// Something in it is wrong.
    #[error("{}, line {line}: {message}\n{line:>5} | {quote}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
        /// What.
        message: String,
        /// The line itself.
        quote: String,
    },
}

/// One key with its value, as the command line would have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Value,
    /// Where the key stands, in bytes.
    at: Range<usize>,
}

impl Setting {
    /// Whether it is a list whose first word is this.
    #[must_use]
    pub(crate) fn begins_with(&self, word: &str) -> bool {
        matches!(&self.value, Value::List(words) if words.first().is_some_and(|first| first == word))
    }
}

/// What is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// `true` or `false`.
    Flag(bool),
    /// A string, or a whole number.
    One(String),
    /// An array of those.
    List(Vec<String>),
}

/// A file that is TOML, whatever its keys are.
#[derive(Clone, Debug)]
pub(crate) struct File {
    path: PathBuf,
    text: String,
    settings: Vec<Setting>,
}

impl File {
    /// Reads a file.
    ///
    /// # Errors
    /// [`FileError`]: it cannot be read, or is no TOML, or holds something that no option can be.
    pub(crate) fn read(path: &Path) -> Result<Self, FileError> {
        let text = fs::read_to_string(path).map_err(|source| FileError::Read { path: path.into(), source })?;
        File::parse(path, text)
    }

    /// Understands the text of a file that lies at `path`.
    ///
    /// # Errors
    /// [`FileError::Wrong`].
    pub(crate) fn parse(path: &Path, text: String) -> Result<Self, FileError> {
        let table = DeTable::parse(&text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            wrong(path, &text, at, &error.message().replace('\n', ", "))
        })?;
        let mut settings = Vec::new();
        for (key, value) in table.get_ref() {
            let read = value_of(value.get_ref()).map_err(|trouble| {
                let message = format!("the value of {} {trouble}", key.get_ref());
                wrong(path, &text, key.span().start, &message)
            })?;
            settings.push(Setting { key: key.get_ref().clone().into_owned(), value: read, at: key.span() });
        }
        settings.sort_by_key(|setting| setting.at.start);
        Ok(File { path: path.into(), text, settings })
    }

    /// What it sets, from its top down.
    #[must_use]
    pub(crate) fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// The value of a key.
    #[must_use]
    pub(crate) fn get(&self, key: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }

    /// That one of its settings cannot be: quotes the line.
    pub(crate) fn wrong(&self, setting: &Setting, message: impl fmt::Display) -> FileError {
        wrong(&self.path, &self.text, setting.at.start, &message.to_string())
    }
}

fn wrong(path: &Path, text: &str, at: usize, message: &str) -> FileError {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let quote = text.lines().nth(line - 1).unwrap_or_default().trim_end().to_owned();
    FileError::Wrong { path: path.into(), line, message: message.to_owned(), quote }
}

fn value_of(value: &DeValue<'_>) -> Result<Value, &'static str> {
    match value {
        DeValue::Boolean(flag) => Ok(Value::Flag(*flag)),
        DeValue::Array(array) => {
            array.iter().map(Spanned::get_ref).map(word).collect::<Result<_, _>>().map(Value::List)
        }
        value => word(value).map(Value::One),
    }
}

/// A value that is one word of a command line.
fn word(value: &DeValue<'_>) -> Result<String, &'static str> {
    match value {
        DeValue::String(text) if text.contains('\0') => Err("has a NUL in it, which no program can be told"),
        DeValue::String(text) => Ok(text.clone().into_owned()),
        DeValue::Integer(number) => Ok(number.to_string()),
        DeValue::Table(_) => Err("is a table; options stand at the top of the file, in no [section]"),
        DeValue::Array(_) | DeValue::Boolean(_) | DeValue::Float(_) | DeValue::Datetime(_) => {
            Err("is neither a string, as \"500ms\", nor a whole number, nor a list of those")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<File, FileError> {
        File::parse(Path::new("llb.toml"), text.to_owned())
    }

    fn one(word: &str) -> Value {
        Value::One(word.into())
    }

    #[test]
    fn values_become_the_words_of_a_command_line() {
        let file = parse("drain-timeout = \"5s\"\nworkers = 4\nport = [80, \"[::1]:81\"]\nquiet = true\n").unwrap();
        let found: Vec<_> = file.settings().iter().map(|setting| (setting.key.as_str(), &setting.value)).collect();
        let list = Value::List(vec!["80".into(), "[::1]:81".into()]);
        let expected = [("drain-timeout", &one("5s")), ("workers", &one("4")), ("port", &list)];
        assert_eq!(found, [&expected[..], &[("quiet", &Value::Flag(true))]].concat(), "in the order of the file");
    }

    #[test]
    fn what_cannot_be_an_option_is_quoted_with_its_line() {
        for (text, line, says) in [
            ("workers = 4\n[limits]\nmemory = 1\n", 2, "in no [section]"),
            ("\n\nworkers = 4.5", 3, "whole number"),
            ("workers = 1979-05-27", 1, "whole number"),
            ("command = [\"a\", [\"b\"]]", 1, "whole number"),
            ("command = [\"a\\u0000b\"]", 1, "NUL"),
            ("workers = 4\nworkers = 5\n", 2, "duplicate key"),
            ("workers = 4\nname = web\n", 2, "string"),
            ("workers =", 1, "value"),
        ] {
            let error = parse(text).unwrap_err();
            let said = error.to_string();
            let FileError::Wrong { line: found, quote, .. } = error else { panic!("{said}") };
            assert_eq!(found, line, "{said}");
            assert_eq!(quote, text.lines().nth(line - 1).unwrap(), "{said}");
            assert!(said.starts_with(&format!("llb.toml, line {line}: ")) && said.contains(says), "{said}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = File::read(Path::new("/no/such/llb.toml")).unwrap_err();
        assert!(error.to_string().contains("/no/such/llb.toml"), "{error}");
    }
}
