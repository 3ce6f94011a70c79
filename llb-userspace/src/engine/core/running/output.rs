//! What a worker writes, where that is captured.

use std::{cell::RefCell, collections::VecDeque, rc::Rc};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::channel::CHUNK_BYTES;

/// Lines kept of the end of a captured output, and the longest that is kept of one.
const TAIL_LINES: usize = 20;
const TAIL_LINE_BYTES: usize = 400;

/// The last lines of both of its outputs.
pub(super) type Tail = Rc<RefCell<VecDeque<String>>>;

/// Passes a captured output on, and keeps its end.
pub(super) async fn relay(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, tail: Tail) {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut line = Vec::new();
    while let Ok(read @ 1..) = from.read(&mut chunk).await {
        // Nobody may be reading llb's own output any more; the worker must not notice.
        let _ = to.write_all(&chunk[..read]).await;
        let _ = to.flush().await;
        for byte in &chunk[..read] {
            match byte {
                b'\n' => keep(&mut line, &tail),
                _ if line.len() < TAIL_LINE_BYTES => line.push(*byte),
                _ => {}
            }
        }
    }
    keep(&mut line, &tail);
}

fn keep(line: &mut Vec<u8>, tail: &Tail) {
    if line.is_empty() {
        return;
    }
    let mut tail = tail.borrow_mut();
    if tail.len() == TAIL_LINES {
        tail.pop_front();
    }
    tail.push_back(String::from_utf8_lossy(line).trim_end().to_owned());
    line.clear();
}
