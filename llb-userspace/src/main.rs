//! The binary `llb`.

fn main() {}
