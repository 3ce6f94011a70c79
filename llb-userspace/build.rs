//! Puts the eBPF object where `include_bytes` finds it.

use std::{env, fs, path::Path};

fn main() {
    println!("cargo:rerun-if-env-changed=LLB_EBPF_OBJECT");
    let object = env::var("LLB_EBPF_OBJECT").unwrap_or_else(|_| "ebpf/llb.bpf.o".into());
    println!("cargo:rerun-if-changed={object}");
    let out = Path::new(&env::var("OUT_DIR").expect("cargo sets OUT_DIR")).join("llb.bpf.o");
    fs::copy(&object, out).unwrap_or_else(|error| panic!("{object}: {error}"));
}
