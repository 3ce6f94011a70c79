//! What llb's chores share. It takes one dependency: `cargo xtask demo` builds it too.

pub mod apt;
pub mod clock;
pub mod go;
pub mod needs;
pub mod paths;
pub mod results;
pub mod root;
pub mod sh;
pub mod venv;
