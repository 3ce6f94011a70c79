//! What a worker uses that is written in Rust: a listener that llb can steer, and reports.
//!
//! All of it is optional, as a worker may know nothing of llb. And all of it works without llb, so that the same program runs
//! alone: [`listen`] listens as usual then, and a [`Reporter`] says nothing.
//!
//! ```
//! use llb::worker::{self, Reporter};
//!
//! # fn answer(_: std::net::TcpStream) {}
//! # fn main() -> Result<(), worker::Error> {
//! let reporter = Reporter::from_env()?;
//! let address = "127.0.0.1:8080";
//! # let address = "127.0.0.1:0";
//! let listener = worker::listen(address)?;
//! # let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
//! for connection in listener.incoming().flatten() {
//!     let _request = reporter.request();
//!     answer(connection);
//!     # break;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! llb measures a worker from outside: the first byte in, the first byte out. Reports replace that, so they are worth it
//! where the first byte of an answer says little about the work. A request reported costs the worker less than 100 ns, as
//! `cargo xtask costs` measures: all are counted, of many only some are timed, and one line says the middle one and the
//! count, with the answer to a ping.
//!
//! Take it without llb's own side, and so without eBPF:
//!
//! ```toml
//! [dependencies]
//! llb-userspace = { version = "0.1", default-features = false, features = ["tokio", "tower"] }
//! ```
//!
//! | feature | |
//! |---|---|
//! | `worker` | this |
//! | `tokio` | [`tokio`]: listeners of tokio's, and pings answered by its runtime |
//! | `tower` | [`tower`]: a layer that reports every request |

mod batch;
mod channel;
mod disconnect;
mod error;
mod link;
mod listen;
mod reporter;
mod request;
#[cfg(feature = "tokio")]
pub mod tokio;
#[cfg(feature = "tower")]
pub mod tower;

pub use disconnect::Disconnected;
pub use error::Error;
pub use listen::{bind, listen};
pub use reporter::Reporter;
pub use request::Request;
