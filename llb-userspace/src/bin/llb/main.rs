//! The binary `llb`: the library's commands, and the demo.

mod demo;

use std::process::ExitCode;

fn main() -> ExitCode {
    llb::cli::main(demo::COMMANDS)
}
