//! What the servers have in common: /ms/N answers after N ms, /stream/N sends N parts, one each half second.

use std::{convert::Infallible, time::Duration};

use futures_util::{Stream, stream};

/// A part of a stream.
type Part<T> = Result<T, Infallible>;

/// What a path asks for.
pub enum Asked {
    Wait(Duration),
    Stream(u32),
}

/// Reads a path; broken code stops here.
pub fn asked(path: &str) -> Asked {
    let mut words = path.trim_matches('/').split('/');
    let what = words.next();
    let number = words.next().and_then(|number| number.parse().ok()).unwrap_or(0);
    if what == Some("stream") { Asked::Stream(number) } else { Asked::Wait(Duration::from_millis(number.into())) }
}

/// The parts of a stream and its end.
pub fn parts<T: From<&'static str>>(number: u32) -> impl Stream<Item = Part<T>> {
    stream::unfold(number + 1, move |left| async move {
        match left {
            0 => return None,
            1 => return Some((Ok("end\n".into()), 0)),
            _ => {}
        }
        if left <= number {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Some((Ok("part\n".into()), left - 1))
    })
}

/// Ends a process whose code is broken.
pub fn check() {
    let broken = std::env::var("STAGE").expect("STAGE") + "/broken";
    assert!(!std::path::Path::new(&broken).exists(), "this code is broken");
}

/// The address to listen on.
pub fn address() -> String {
    format!("127.0.0.1:{}", std::env::var("PORT").expect("PORT"))
}

/// What every request but a stream is answered with.
pub fn answer() -> String {
    std::env::var("WORKER_ID").unwrap_or_default()
}
