//! llb's log as entries of the systemd journal, with fields: where standard error is connected to it. The format is the
//! journal's native one (`systemd.io/JOURNAL_NATIVE_PROTOCOL`). It is written here, as the crates that speak it send from the
//! thread that logs, and so would wait with all of llb for a journal that does not read.

use std::{
    fs::File,
    io::{self, stderr},
    os::{fd::AsFd, unix::fs::MetadataExt, unix::net::UnixDatagram},
};

use serde_json::{Map, Value};

use super::event::{FATAL, LOG};

/// Where the journal reads.
const SOCKET: &str = "/run/systemd/journal/socket";

/// What systemd says of the stream that it has connected: its device and inode.
const STREAM: &str = "JOURNAL_STREAM";

/// Before the name of a field, so that it is nobody else's.
const PREFIX: &str = "LLB_";

/// Whether standard error is connected to the journal, and nobody has led it elsewhere since.
pub(crate) fn is_connected() -> bool {
    let Ok(stream) = std::env::var(STREAM) else { return false };
    let file = stderr().as_fd().try_clone_to_owned().map(File::from);
    file.and_then(|file| file.metadata()).is_ok_and(|file| names(&stream, file.dev(), file.ino()))
}

fn names(stream: &str, device: u64, inode: u64) -> bool {
    let number = |text: &str| text.parse::<u64>().ok();
    stream.split_once(':').is_some_and(|(dev, ino)| (number(dev), number(ino)) == (Some(device), Some(inode)))
}

/// What is to be sent, and the same in words for a journal that takes nothing.
pub(super) struct Entry {
    pub bytes: Vec<u8>,
    pub text: String,
}

/// An entry of the log.
pub(super) fn entry(level: &str, event: &str, message: &str, fields: &Map<String, Value>) -> Entry {
    let text = text(event, message, fields);
    let priority = match level {
        "error" => "3",
        "warn" => "4",
        "info" => "6",
        _ => "7",
    };
    let mut bytes = Vec::new();
    for (name, value) in [("MESSAGE", text.as_str()), ("PRIORITY", priority), ("SYSLOG_IDENTIFIER", "llb")] {
        put(&mut bytes, name, value);
    }
    put(&mut bytes, &field("event"), event);
    for (name, value) in fields {
        match value {
            Value::Null => {}
            Value::String(value) => put(&mut bytes, &field(name), value),
            value => put(&mut bytes, &field(name), &value.to_string()),
        }
    }
    Entry { bytes, text: format!("llb: {text}") }
}

/// The words of an entry: of an event where it was and its code, of the rest what it has besides.
fn text(event: &str, message: &str, fields: &Map<String, Value>) -> String {
    if event == LOG || event == FATAL {
        let others = fields.iter().map(|(name, value)| match value {
            Value::String(value) => format!(" {name}={value}"),
            value => format!(" {name}={value}"),
        });
        return message.to_owned() + &others.collect::<String>();
    }
    let slot = fields.get("slot").map_or_else(String::new, |slot| format!("slot {slot}: "));
    format!("{slot}{event}: {message}")
}

/// A field's name: capitals, digits and underscores.
fn field(name: &str) -> String {
    let capital = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    PREFIX.chars().chain(name.chars().map(capital)).collect()
}

/// A value with a line break goes with its length, as eight bytes with the least first.
fn put(bytes: &mut Vec<u8>, name: &str, value: &str) {
    bytes.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        bytes.push(b'\n');
        bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        bytes.push(b'=');
    }
    bytes.extend_from_slice(value.as_bytes());
    bytes.push(b'\n');
}

/// Sends an entry; may wait for the journal.
pub(super) fn send(bytes: &[u8]) -> io::Result<()> {
    UnixDatagram::unbound()?.send_to(bytes, SOCKET).map(drop)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sent(event: &str, message: &str, fields: Value) -> Vec<u8> {
        let Value::Object(fields) = fields else { panic!("an object") };
        entry("warn", event, message, &fields).bytes
    }

    #[test]
    fn an_event_has_its_fields() {
        let bytes =
            sent("exited", "was killed by SIGKILL", json!({"slot": 3, "pid": 41, "generation": 2, "none": null}));
        let expected = "MESSAGE=slot 3: exited: was killed by SIGKILL\nPRIORITY=4\nSYSLOG_IDENTIFIER=llb\nLLB_EVENT=exited\n\
                        LLB_GENERATION=2\nLLB_PID=41\nLLB_SLOT=3\n";
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }

    #[test]
    fn a_value_of_two_lines_has_its_length() {
        let bytes = sent(LOG, "one\ntwo", json!({"some-error": "no"}));
        assert!(bytes.starts_with(b"MESSAGE\n\x15\0\0\0\0\0\0\0one\ntwo some-error=no"), "{bytes:?}");
        assert!(bytes.ends_with(b"\nLLB_EVENT=log\nLLB_SOME_ERROR=no\n"), "{bytes:?}");
    }

    #[test]
    fn only_the_stream_that_systemd_names_is_the_journal() {
        assert!(names("8:123", 8, 123));
        for other in ["8:124", "9:123", "8", "", ":", "8:123:1"] {
            assert!(!names(other, 8, 123), "{other}");
        }
    }
}
