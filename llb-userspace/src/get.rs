//! One GET of HTTP/1 over a connection that is there: what `llb curl` and the exporter ask a worker.

use std::{convert::Infallible, future::pending, io};

use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1::handshake,
    header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

const AGENT: &str = concat!("llb/", env!("CARGO_PKG_VERSION"));

/// What an answer begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub status: StatusCode,
    pub content_type: String,
}

/// Asks for `path`, and gives each part of the answer's body to `part` as it comes.
///
/// # Errors
/// If that is not HTTP/1, or the connection ends too soon; and those of `part`.
pub(crate) async fn get(
    stream: TcpStream,
    path: &str,
    accept: &str,
    mut part: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<Head> {
    let host = stream.peer_addr()?.to_string();
    let request = Request::get(path).header(HOST, host).header(USER_AGENT, AGENT).header(ACCEPT, accept);
    let request = request.header(CONNECTION, "close").body(Empty::<Bytes>::new()).map_err(io::Error::other)?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let head = Head { status: response.status(), content_type: content_type.unwrap_or_default().to_owned() };
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
                part(&data)?;
            }
        }
        Ok(head)
    };
    let driving = async {
        // Its end, and whether that is an error, is the exchange's to tell.
        let _ = connection.await;
        pending::<Infallible>().await
    };
    tokio::select! {
        head = exchange => head,
        never = driving => match never {},
    }
}
