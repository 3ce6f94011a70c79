//! Tries which programs this kernel takes, each for itself.

use super::{
    KernelError, Options,
    object::{PROGRAMS, load_program, object},
};

/// What the kernel says to each program.
#[derive(Debug)]
pub(crate) struct Probe {
    /// How many maps were made.
    pub maps: usize,
    /// By name, in the order in which they are loaded.
    pub programs: Vec<(&'static str, Result<(), KernelError>)>,
}

/// The names of the programs, in the order in which they are loaded.
#[must_use]
pub(crate) fn programs() -> &'static [&'static str] {
    &PROGRAMS
}

/// Makes the maps and loads each program, also when an earlier one is refused. Nothing of it stays in the kernel.
///
/// # Errors
/// [`KernelError::Object`] if not even the maps can be made.
pub(crate) fn probe(options: &Options) -> Result<Probe, KernelError> {
    let mut ebpf = object(options)?;
    let maps = ebpf.maps().count();
    let programs = PROGRAMS.map(|name| (name, load_program(&mut ebpf, name))).into();
    Ok(Probe { maps, programs })
}
