//! What each worker may take of the machine.

/// What each worker may take, with all that it starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Memory, bytes (`memory.max`); none: all.
    pub memory_max: Option<u64>,
    /// Thousandths of a CPU's time (`cpu.max`), 10 at least; none: all.
    pub cpu_max: Option<u32>,
}
