//! Where things are in the repository.

use std::path::{Path, PathBuf};

/// The top of the repository.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// The kernel side's crate, a workspace of its own.
pub(crate) fn ebpf_crate() -> PathBuf {
    root().join("llb-ebpf")
}

/// The committed object. Inside llb-userspace, so that a packaged crate carries it.
pub(crate) fn object() -> PathBuf {
    root().join("llb-userspace/ebpf/llb.bpf.o")
}

/// What built the committed object.
pub(crate) fn record() -> PathBuf {
    root().join("llb-userspace/ebpf/toolchain.txt")
}

/// What `cargo xtask ebpf` builds in: apart from the workspace's own target directory, because cargo would
/// otherwise wait for the lock of the build that started it.
pub(crate) fn ebpf_target() -> PathBuf {
    root().join("target/ebpf")
}

/// What `cargo xtask vm` has downloaded and made.
pub(crate) fn vm() -> PathBuf {
    root().join("target/vm")
}

/// The programs that the integration tests run.
pub(crate) fn fixtures() -> PathBuf {
    root().join("tests/fixtures")
}

/// The packages in Python that a QUIC server is made of; tests/quic.rs looks there.
pub(crate) fn aioquic() -> PathBuf {
    root().join("target/aioquic")
}

/// The go command that builds the worker in Go, and its cache; tests/harness/example.rs looks there.
pub(crate) fn go() -> PathBuf {
    root().join("target/go")
}
