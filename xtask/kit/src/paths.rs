//! Where things are in the repository.

use std::path::{Path, PathBuf};

/// The top of the repository.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// The kernel side's crate, a workspace of its own.
pub fn ebpf_crate() -> PathBuf {
    root().join("llb-ebpf")
}

/// The committed object. Inside llb-userspace, so that a packaged crate carries it.
pub fn object() -> PathBuf {
    root().join("llb-userspace/ebpf/llb.bpf.o")
}

/// What built the committed object.
pub fn record() -> PathBuf {
    root().join("llb-userspace/ebpf/toolchain.txt")
}

/// What `cargo xtask ebpf` builds in: apart from the workspace's own target directory, because cargo would
/// otherwise wait for the lock of the build that started it.
pub fn ebpf_target() -> PathBuf {
    root().join("target/ebpf")
}

/// Where cargo puts what it builds by a profile.
pub fn built(profile: &str) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into).join(profile)
}

/// What `cargo xtask vm` has downloaded and made.
pub fn vm() -> PathBuf {
    root().join("target/vm")
}

/// The programs that the integration tests run.
pub fn fixtures() -> PathBuf {
    root().join("tests/fixtures")
}

/// The packages in Python that a QUIC server is made of.
pub fn aioquic() -> PathBuf {
    root().join("target/aioquic")
}

/// gRPC's own server and client for Python.
pub fn grpcio() -> PathBuf {
    root().join("target/grpcio")
}

/// Caddy.
pub fn caddy() -> PathBuf {
    root().join("target/caddy")
}

/// nginx with HTTP/3.
pub fn nginx() -> PathBuf {
    root().join("target/nginx")
}

/// The go command that builds the worker in Go, and its cache.
pub fn go() -> PathBuf {
    root().join("target/go")
}
