//! Whether the kernel takes the maps and each program.

use std::io;

use super::{
    MAPS,
    missing::{Missing, Tried},
};
use crate::{
    causes::chain,
    kernel::{KernelError, Options, Probe, probe},
};

/// Each by its name; only the maps if they cannot be made.
pub(super) fn try_out(cgroup_level: Option<u32>) -> Vec<(&'static str, Tried<()>)> {
    match probe(&Options { cgroup_level, limits: Vec::new(), keeps_books: true, sticky: None }) {
        Ok(Probe { maps, programs }) => {
            let maps = (MAPS, Ok(((), format!("{maps} made"))));
            let programs = programs.into_iter().map(|(name, loaded)| {
                (name, loaded.map(|()| ((), "loaded".to_owned())).map_err(|error| missing(&error)))
            });
            std::iter::once(maps).chain(programs).collect()
        }
        Err(error) => vec![(MAPS, Err(missing(&error)))],
    }
}

fn missing(error: &KernelError) -> Missing {
    match error {
        KernelError::Load { source, .. } => {
            Missing::new(format!("the kernel refuses it: {source}"), load_remedy(source))
        }
        KernelError::Object { source } => Missing::new(
            format!("the kernel refuses the maps: {}", chain(source.as_ref())),
            "llb must be root of the machine itself, not of a user namespace; a container needs \
             --cap-add BPF --cap-add NET_ADMIN --cap-add PERFMON, and a seccomp profile that allows bpf(), which \
             Docker's does then (Podman: --security-opt seccomp=FILE; docs/containers.md says which)",
        ),
        error => Missing::error(error, "rebuild llb with `cargo xtask ebpf`"),
    }
}

fn load_remedy(refusal: &io::Error) -> &'static str {
    match refusal.kind() {
        // EPERM and EACCES are both of this kind; the second is the verifier's.
        io::ErrorKind::PermissionDenied if refusal.raw_os_error() == Some(nix::libc::EPERM) => {
            "llb must be root of the machine itself, not of a user namespace, and no security module may forbid bpf()"
        }
        _ => "`llb doctor --log debug` shows the verifier's words: report them, with `uname -r`",
    }
}
