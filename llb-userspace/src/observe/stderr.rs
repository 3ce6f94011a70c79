//! llb's own words to people on stderr.

use serde_json::Map;

use super::{
    event::{FATAL, LOG},
    json, writer,
};

/// Says one line to people.
pub(crate) fn line(text: &str) {
    say("info", LOG, text);
}

/// Says why llb ends.
pub(crate) fn fatal(text: &str) {
    say("error", FATAL, text);
}

fn say(level: &str, code: &str, text: &str) {
    if json::is_on() {
        let message = text.strip_prefix("llb: ").unwrap_or(text);
        json::write(level, code, message, Map::new());
    } else {
        writer::raw(text);
    }
}
