//! The binary `llb`: the library's commands, the demo, and its comparison on a command of the user's.

mod bench_here;
mod demo;
mod during;

use std::process::ExitCode;

use llb::cli::Own;

fn main() -> ExitCode {
    llb::cli::main(Own { demo: demo::run, demo_worker: demo::work, bench_here: bench_here::run })
}
