//! The binary `llb`.

use std::process::ExitCode;

fn main() -> ExitCode {
    llb::cli::main()
}
