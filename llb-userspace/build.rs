//! Puts the compiled kernel side where the library embeds it from: the committed object, or the one that
//! `LLB_EBPF_OBJECT` names, which is how an object built by another toolchain is tested.

use std::path::PathBuf;

fn main() {
    if std::env::var_os("CARGO_FEATURE_MASTER").is_none() {
        return;
    }
    println!("cargo::rerun-if-env-changed=LLB_EBPF_OBJECT");
    let given = std::env::var_os("LLB_EBPF_OBJECT");
    let object = given.map_or_else(|| in_package("ebpf/llb.bpf.o"), PathBuf::from);
    println!("cargo::rerun-if-changed={}", object.display());

    let embedded = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("llb.bpf.o");
    if let Err(error) = std::fs::copy(&object, &embedded) {
        println!(
            "cargo::error=cannot embed the eBPF object {}: {error}. `cargo xtask ebpf` builds the committed one; \
             LLB_EBPF_OBJECT, if set, must be an absolute path",
            object.display()
        );
    }
}

fn in_package(path: &str) -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR")).join(path)
}
