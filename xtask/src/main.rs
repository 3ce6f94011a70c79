//! llb's own chores.

fn main() {}
