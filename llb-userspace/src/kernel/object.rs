//! The compiled programs and their maps: which there are, and how they are loaded.

use std::{collections::BTreeMap, io};

use aya::{
    Ebpf,
    maps::{Map, MapError},
    programs::{Program, ProgramError},
};
use llb_common::names;

use super::{KernelError, Limit, Sticky, error::map_error, loader::loader};

/// The compiled programs; `cargo xtask ebpf` makes them.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/llb.bpf.o"));

/// What the programs must know before they are loaded. Examples are [there](super).
#[derive(Clone, Debug)]
pub struct Options {
    /// Depth of the workers' cgroups below the root of the cgroup hierarchy; none if a cgroup namespace hides it, and
    /// then a worker must not move its listening processes to cgroups of its own.
    pub cgroup_level: Option<u32>,
    /// If not empty, only these are steered.
    pub limits: Vec<Limit>,
    /// Whether the kernel keeps books of connections and requests. Without them it looks at no packets.
    pub keeps_books: bool,
    /// Whether clients are remembered, and what makes one: the time does not count here.
    pub sticky: Option<Sticky>,
}

/// The maps that userspace works with, by name.
pub(super) type Maps = BTreeMap<&'static str, Map>;

/// The programs, in the order in which they are loaded.
pub(super) const PROGRAMS: [&str; 11] = [
    names::BIND4,
    names::BIND6,
    names::POST_BIND4,
    names::POST_BIND6,
    names::RELEASE,
    names::SOCKOPS,
    names::INGRESS,
    names::EGRESS,
    names::STEER,
    names::FLOW,
    names::CHECK,
];

/// Socket storage of [`Owner`]. Only the programs write to it, but for the seat.
pub(super) const OWNER: &str = "OWNER";

/// The maps that userspace works with after the start.
pub(super) const MAPS: [&str; 22] = [
    names::SOCKETS,
    names::SEATS,
    names::LATENCY,
    names::PUBLISHED,
    names::GROUPS,
    names::LISTENERS,
    names::ENDPOINTS,
    names::CONN,
    names::COUNTERS,
    names::EVENTS,
    names::CHOICES,
    names::LINES,
    names::OWN_PORTS,
    names::SLOTS,
    names::TAKEN,
    names::STICKY,
    names::HOMES,
    names::REACHES,
    names::FLOWS,
    names::FLOW_SEATS,
    names::FLOW_COUNTS,
    OWNER,
];

/// Those that only the books need. Socket operations tell of listeners too, so they are not among them.
pub(super) const KEEP_BOOKS: [&str; 2] = [names::INGRESS, names::EGRESS];

/// What the programs have to say, by aya's name. It is little, and a ring buffer is mapped twice.
const LOGS: &str = "AYA_LOGS";
const LOGS_BYTES: u32 = 64 * 1024;

/// Makes the maps, and the programs ready to be loaded.
pub(super) fn object(options: &Options) -> Result<Ebpf, KernelError> {
    let limited = u32::from(!options.limits.is_empty());
    let level = options.cgroup_level.unwrap_or(0);
    let prefixes = options.sticky.map_or(0, Sticky::prefixes);
    let mut loader = loader();
    loader.map_max_entries(LOGS, LOGS_BYTES);
    if options.sticky.is_none() {
        for name in [names::CLIENTS, names::NEWCOMERS, names::HOMES] {
            loader.map_max_entries(name, 1);
        }
    }
    loader
        .override_global(names::ABI, &0u32, true)
        .override_global(names::LIMITED, &limited, true)
        .override_global(names::CGROUP_LEVEL, &level, true)
        .override_global(names::PREFIXES, &prefixes, true)
        .load(OBJECT)
        .map_err(|source| KernelError::Object { source: Box::new(source) })
}

/// Has the kernel verify one of [`PROGRAMS`].
pub(super) fn load_program(ebpf: &mut Ebpf, name: &'static str) -> Result<(), KernelError> {
    let loaded = match ebpf.program_mut(name) {
        Some(Program::CgroupSockAddr(program)) => program.load(),
        Some(Program::CgroupSock(program)) => program.load(),
        Some(Program::SockOps(program)) => program.load(),
        Some(Program::CgroupSkb(program)) => program.load(),
        Some(Program::SkReuseport(program)) => program.load(),
        Some(Program::SkLookup(program)) => program.load(),
        _ => return Err(KernelError::Missing { what: "program", name }),
    };
    load(name, loaded)
}

fn load(name: &'static str, result: Result<(), ProgramError>) -> Result<(), KernelError> {
    result.map_err(|error| {
        tracing::debug!(name, "{error}");
        let source = match error {
            ProgramError::LoadError { io_error, .. } => io_error,
            other => io::Error::other(other),
        };
        KernelError::Load { name, source }
    })
}

/// One of the maps, as what it is.
pub(super) fn take<M: TryFrom<Map, Error = MapError>>(maps: &mut Maps, name: &'static str) -> Result<M, KernelError> {
    let map = maps.remove(name).ok_or(KernelError::Missing { what: "map", name })?;
    map.try_into().map_err(map_error(name))
}
