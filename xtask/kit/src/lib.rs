//! What llb's chores and its integration tests share. It takes few dependencies: `cargo xtask demo` builds it too.

pub mod apt;
pub mod clock;
pub mod fixtures;
pub mod http;
pub mod musl;
pub mod needs;
pub mod paths;
pub mod pip;
pub mod quantiles;
pub mod random;
pub mod results;
pub mod root;
pub mod sh;
pub mod source;
pub mod stop;
pub mod venv;
