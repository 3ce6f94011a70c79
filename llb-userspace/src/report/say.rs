//! What llb says to a worker: whole lines, newline included.

/// "Finish up": said when a worker starts to drain.
pub const DISCONNECT: &[u8] = b"{\"cmd\":\"disconnect\"}\n";

/// "Are you there?" A worker answers `{"cmd":"pong","id":...}` with the same id.
#[must_use]
pub fn ping(id: u64) -> Vec<u8> {
    format!("{{\"cmd\":\"ping\",\"id\":{id}}}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_one_line_of_json() {
        for (line, json) in [
            (ping(7), serde_json::json!({"cmd": "ping", "id": 7})),
            (DISCONNECT.to_vec(), serde_json::json!({"cmd": "disconnect"})),
        ] {
            let body = line.strip_suffix(b"\n").unwrap();
            assert!(!body.contains(&b'\n'));
            assert_eq!(serde_json::from_slice::<serde_json::Value>(body).unwrap(), json);
        }
    }
}
