//! The programs and maps of one fleet: loaded or found again, attached, and handed out.

use std::{io, os::fd::AsFd, sync::Arc};

use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData, PerCpuArray, ReusePortSockArray, RingBuf, SkStorage},
    programs::{Program, SkReuseport},
};
use llb_common::{
    abi::{Conn, Endpoint, Group, Listener, Owner},
    names,
};

use super::{
    Books, Connections, Counters, KernelError, Options, Pins,
    binds::Binds,
    books,
    error::map_error,
    flows::Flows,
    object::{KEEP_BOOKS, MAPS, Maps, OWNER, PROGRAMS, load_program, object, take},
    reach::Reaches,
    socket_events::Events,
    sticky::Clients,
    value::Value,
    why::Choices,
};
use crate::{
    registry::Held,
    sys::cgroup_attach::{Hook, attach},
};

/// The programs and maps of one fleet. Examples are [there](super).
pub struct Steering {
    programs: Programs,
    pub(super) sockets: ReusePortSockArray<MapData>,
    /// What is in the groups.
    pub(super) held: Held,
    pub(super) group_map: Array<MapData, Value<Group>>,
    pub(super) listeners: HashMap<MapData, u64, Value<Listener>>,
    pub(super) endpoints: HashMap<MapData, Value<Endpoint>, u32>,
    /// What connections inherit from their listener; none if no books are kept.
    pub(super) conn: Option<SkStorage<MapData, Value<Conn>>>,
    /// Which worker has bound a socket.
    pub(super) owner: SkStorage<MapData, Value<Owner>>,
    /// What `bind(2)` goes by.
    pub(super) binds: Binds,
    /// Where clients are at home, if they are remembered.
    pub(super) clients: Option<Clients>,
    /// UDP.
    pub(super) flows: Flows,
    connections: Option<Connections>,
    counters: PerCpuArray<MapData, u64>,
    /// Connections of our own to single workers, until somebody makes them.
    pub(super) reaches: Option<Reaches>,
    /// Where choices come that are noted, until somebody takes it.
    pub(super) choices: Option<Choices>,
    books: Books,
    /// The ring of socket events, until somebody listens to it.
    ring: Option<RingBuf<MapData>>,
    logger: Option<Logger>,
}

/// Where the programs are from.
pub(super) enum Programs {
    /// This process has loaded them.
    Loaded(Box<Ebpf>),
    /// An earlier one has, and they are attached. The selectors are needed again, for groups to come.
    Pinned {
        /// [`names::STEER`].
        steer: Box<SkReuseport>,
        /// [`names::FLOW`].
        flow: Box<SkReuseport>,
    },
}

/// What the programs have to say.
pub(super) type Logger = aya_log::EbpfLogger<&'static dyn log::Log>;

impl Steering {
    /// Loads the programs.
    ///
    /// # Errors
    /// [`KernelError`] naming the map or program that the kernel refused.
    pub fn load(options: &Options) -> Result<Self, KernelError> {
        Self::load_all(options, None)
    }

    /// Loads the programs, and pins what the next master needs to go on with them.
    ///
    /// # Errors
    /// As [`load`](Self::load); [`KernelError::Pin`] if only that is refused.
    pub fn load_pinned(options: &Options, pins: &Pins) -> Result<Self, KernelError> {
        Self::load_all(options, Some(pins))
    }

    fn load_all(options: &Options, pins: Option<&Pins>) -> Result<Self, KernelError> {
        let mut ebpf = object(options)?;
        let is_needed = |name: &&str| *name != names::CHECK && (options.keeps_books || !KEEP_BOOKS.contains(name));
        for name in PROGRAMS.into_iter().filter(is_needed) {
            load_program(&mut ebpf, name)?;
        }
        let steered =
            ebpf.take_map(names::STEERED).ok_or(KernelError::Missing { what: "map", name: names::STEERED })?;
        let mut steered: HashMap<MapData, Value<Endpoint>, u8> =
            steered.try_into().map_err(map_error(names::STEERED))?;
        for limit in &options.limits {
            steered.insert(Value(limit.endpoint()), 1, 0).map_err(map_error(names::STEERED))?;
        }
        let maps = MAPS.into_iter().map(|name| match ebpf.take_map(name) {
            Some(map) => Ok((name, map)),
            None => Err(KernelError::Missing { what: "map", name }),
        });
        let maps = maps.collect::<Result<Maps, KernelError>>()?;
        if let Some(pins) = pins {
            pins.pin(&maps, &mut ebpf)?;
        }
        // A kernel side that has nothing to say has no log map; that is as good.
        let logger = aya_log::EbpfLogger::init(&mut ebpf).ok();
        Self::of(maps, options.keeps_books, Programs::Loaded(Box::new(ebpf)), logger)
    }

    /// Goes on with programs that an earlier master has loaded and attached, and with what it has left in the maps.
    ///
    /// # Errors
    /// [`KernelError`] naming what is not pinned there.
    pub fn reopen(pins: &Pins, keeps_books: bool) -> Result<Self, KernelError> {
        let (maps, [steer, flow], logger) = pins.open()?;
        let programs = Programs::Pinned { steer: Box::new(steer), flow: Box::new(flow) };
        let mut steering = Self::of(maps, keeps_books, programs, logger)?;
        steering.read_held()?;
        Ok(steering)
    }

    fn of(mut maps: Maps, keeps_books: bool, programs: Programs, logger: Option<Logger>) -> Result<Self, KernelError> {
        let books =
            Books::map(&maps[names::SEATS], &maps[names::LATENCY], &maps[names::PUBLISHED], &maps[names::LINES])?;
        let clients = Clients::map(&maps[names::STICKY], &maps[names::HOMES])?;
        let reaches = maps.remove(names::REACHES).ok_or(KernelError::Missing { what: "map", name: names::REACHES })?;
        let reaches = Some(Reaches::of(reaches, Arc::clone(&books.seats))?);
        let choices = maps.remove(names::CHOICES).ok_or(KernelError::Missing { what: "map", name: names::CHOICES })?;
        let choices = Some(Choices::of(choices, Arc::clone(&books.seats)));
        let counts = take(&mut maps, names::FLOW_COUNTS)?;
        let table = maps.remove(names::FLOWS).ok_or(KernelError::Missing { what: "map", name: names::FLOWS })?;
        let flows = Flows::map(table, &maps[names::FLOW_SEATS], counts)?;
        let ring: RingBuf<MapData> = take(&mut maps, names::EVENTS)?;
        let storage = maps.remove(names::CONN).filter(|_| keeps_books);
        Ok(Steering {
            programs,
            sockets: take(&mut maps, names::SOCKETS)?,
            held: Held::default(),
            group_map: take(&mut maps, names::GROUPS)?,
            listeners: take(&mut maps, names::LISTENERS)?,
            endpoints: take(&mut maps, names::ENDPOINTS)?,
            clients,
            flows,
            connections: storage.as_ref().map(Connections::of).transpose()?,
            conn: storage.map(TryInto::try_into).transpose().map_err(map_error(names::CONN))?,
            owner: take(&mut maps, OWNER)?,
            binds: Binds {
                own_ports: take(&mut maps, names::OWN_PORTS)?,
                slots: take(&mut maps, names::SLOTS)?,
                taken: take(&mut maps, names::TAKEN)?,
            },
            counters: take(&mut maps, names::COUNTERS)?,
            reaches,
            choices,
            books,
            ring: Some(ring),
            logger,
        })
    }

    /// Attaches the programs to the cgroup that holds the workers' cgroups. They run for everything below it, beside
    /// whatever else is attached there, until the cgroup is removed: if this process dies, workers and selector go
    /// on, and so must the books that the selector reads.
    ///
    /// # Errors
    /// [`KernelError::Attach`] naming the program.
    pub fn attach(&mut self, cgroup: impl AsFd) -> Result<(), KernelError> {
        let hooks = [
            (names::BIND4, Hook::Bind4),
            (names::BIND6, Hook::Bind6),
            (names::POST_BIND4, Hook::PostBind4),
            (names::POST_BIND6, Hook::PostBind6),
            (names::RELEASE, Hook::SockRelease),
            (names::SOCKOPS, Hook::SockOps),
            (names::INGRESS, Hook::Ingress),
            (names::EGRESS, Hook::Egress),
        ];
        for (name, hook) in hooks.into_iter().filter(|(name, _)| self.keeps_books() || !KEEP_BOOKS.contains(name)) {
            let program = self.program(name)?;
            let fd = program.fd().map_err(|source| KernelError::Attach { name, source: io::Error::other(source) })?;
            attach(fd, &cgroup, hook).map_err(|source| KernelError::Attach { name, source })?;
        }
        Ok(())
    }

    /// Whether the books of the seats count connections and requests, and not charges only: as [`Options::keeps_books`] said.
    #[must_use]
    pub fn keeps_books(&self) -> bool {
        self.conn.is_some()
    }

    /// The books of the seats, and what is published for the selector.
    #[must_use]
    pub fn books(&self) -> &Books {
        &self.books
    }

    /// Drops the socket events that nobody has read.
    pub fn discard_events(&mut self) {
        if let Some(ring) = &mut self.ring {
            while ring.next().is_some() {}
        }
    }

    /// What the books say of single connections, once, if books are kept; later calls return nothing.
    pub(crate) fn take_connections(&mut self) -> Option<Connections> {
        self.connections.take()
    }

    /// The socket events, once; later calls return nothing.
    ///
    /// # Errors
    /// [`KernelError::Watch`] if they cannot be waited for.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn take_events(&mut self) -> Result<Option<Events>, KernelError> {
        let failed = |source| KernelError::Watch { map: names::EVENTS, source };
        self.ring.take().map(Events::new).transpose().map_err(failed)
    }

    /// What became of each connection since the programs were loaded.
    ///
    /// # Errors
    /// [`KernelError::Map`].
    pub fn counters(&self) -> Result<Counters, KernelError> {
        books::counters(&self.counters)
    }

    /// Passes on what the programs have logged.
    pub fn flush_log(&mut self) {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }

    pub(super) fn program(&self, name: &'static str) -> Result<&Program, KernelError> {
        // Those that another has loaded it has attached, too.
        let missing = KernelError::Missing { what: "program", name };
        let Programs::Loaded(ebpf) = &self.programs else { return Err(missing) };
        ebpf.program(name).ok_or(missing)
    }

    /// The program that is attached to groups, of TCP listeners or of UDP sockets.
    pub(super) fn selector(&self, is_udp: bool) -> Result<&SkReuseport, KernelError> {
        let name = if is_udp { names::FLOW } else { names::STEER };
        match &self.programs {
            Programs::Loaded(_) => {
                let missing = KernelError::Missing { what: "program", name };
                self.program(name)?.try_into().map_err(|_| missing)
            }
            Programs::Pinned { flow, .. } if is_udp => Ok(flow),
            Programs::Pinned { steer, .. } => Ok(steer),
        }
    }
}
