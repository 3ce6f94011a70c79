//! Writes to the maps which listeners are in which group, and reads it there. What to write is [`crate::registry`]'s to say.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use aya::maps::MapError;
use llb_common::{
    abi::{Conn, Endpoint, Group, Listener, MAX_GROUPS, MAX_SEATS, NO_SEAT},
    names, set,
    track::Phase,
};

use super::{KernelError, Member, Steering, error::map_error, value::Value};
use crate::{
    model::{Address, Instant, Seat},
    registry::{self, Desired, Held, HeldSocket, Key, Reconciler, Report, Want, Write, is_udp},
    sys::socket,
};

/// The map's own word for "only if the key is new".
const BPF_NOEXIST: u64 = 1;

/// The maps, and copies of the sockets that are to enter their groups. They are closed when this is dropped: one kept open would
/// keep a listener alive when its worker has closed it.
struct Writer<'a, F> {
    steering: &'a mut Steering,
    /// Finds a socket in its worker.
    find: F,
    copies: BTreeMap<u64, OwnedFd>,
}

impl<F: FnMut(&Want) -> Result<OwnedFd, registry::Error>> registry::Maps for Writer<'_, F> {
    fn find(&mut self, want: &Want) -> Result<Key, registry::Error> {
        let copy = (self.find)(want)?;
        let failed = |source| KernelError::Cookie { address: want.address, source };
        let key = want.key(socket::device(&copy).map_err(failed)?);
        self.copies.insert(want.cookie, copy);
        Ok(key)
    }

    fn write(&mut self, write: Write<'_>) -> Result<(), registry::Error> {
        let steering = &mut *self.steering;
        Ok(match write {
            Write::Assign { key, index, instead, only } => steering.assign(key, index, instead, only),
            Write::Know { cookie, group, seat } => steering.know(cookie, group, seat),
            Write::Place { cookie, key, group, seat } => match self.copies.get(&cookie) {
                Some(copy) => steering.place_socket(key, group, seat, copy),
                None => Ok(()),
            },
            Write::Select { group, members } => steering.select(group, members),
            Write::Clear { group, seat } => {
                // The kernel clears the place itself when the socket closes, so an empty one is as good.
                let _ = steering.sockets.clear_index(&place(group, seat));
                Ok(())
            }
            Write::Forget { cookie } => {
                // One that is not there is forgotten already.
                let _ = steering.listeners.remove(&cookie);
                Ok(())
            }
        }?)
    }

    fn no_room(&self, key: &Key) -> registry::Error {
        KernelError::TooManyGroups { address: key.0 }.into()
    }
}

impl Steering {
    /// What the maps hold.
    pub(crate) fn held(&self) -> &Held {
        &self.held
    }

    /// A listener listens anew: what is known of it is another's, and is entered once more. Whether there is such a listener.
    pub(crate) fn doubt(&mut self, cookie: u64) -> bool {
        let socket = self.held.sockets.get_mut(&cookie);
        socket.map(|socket| socket.known = false).is_some()
    }

    /// Brings the maps to what is desired, as far as that can be done now.
    pub(crate) fn reconcile(
        &mut self,
        reconciler: &mut Reconciler,
        desired: &Desired,
        find: impl FnMut(&Want) -> Result<OwnedFd, registry::Error>,
        now: Instant,
    ) -> Report {
        let mut held = std::mem::take(&mut self.held);
        let mut writer = Writer { steering: self, find, copies: BTreeMap::new() };
        let report = reconciler.run(desired, &mut held, &mut writer, now);
        self.held = held;
        report
    }

    fn assign(&mut self, key: Key, index: u32, instead: Option<Key>, only: Option<u32>) -> Result<(), KernelError> {
        if let Some(instead) = instead {
            // Nobody listens there, or a listener there begins anew.
            let _ = self.endpoints.remove(&Value(endpoint(instead)));
        }
        self.say_only_group(is_udp(&key), only);
        self.endpoints.insert(Value(endpoint(key)), index, 0).map_err(map_error(names::ENDPOINTS))
    }

    fn say_only_group(&self, udp: bool, only: Option<u32>) {
        if udp { self.flows.set_only_group(only) } else { self.books().set_only_group(only) }
    }

    fn know(&mut self, cookie: u64, group: u32, seat: Option<Seat>) -> Result<(), KernelError> {
        let Some(seat) = seat else {
            let listener = Listener { group, seat: NO_SEAT };
            // What is known already is known better. A full map leaves the connections of this one to the hash.
            let _ = self.listeners.insert(cookie, Value(listener), BPF_NOEXIST);
            return Ok(());
        };
        self.listeners.insert(cookie, Value(Listener { group, seat: seat.0 }), 0).map_err(map_error(names::LISTENERS))
    }

    /// Has the selector find a socket, and what comes of it count for its seat.
    fn place_socket(&mut self, key: Key, group: u32, seat: Seat, socket: &OwnedFd) -> Result<(), KernelError> {
        let fd = socket.as_raw_fd();
        if is_udp(&key) {
            self.flows.begin(seat);
            self.sign(socket, seat)?;
        } else if let Some(storage) = &mut self.conn {
            // The listener's own packets are nobody's requests; each connection opens its books when it is established.
            let conn = Conn { seat: seat.0, phase: Phase::Closed as u32, ..Conn::default() };
            storage.insert(&fd, Value(conn), 0).map_err(map_error(names::CONN))?;
        }
        // One that was reached after it had left is still there, and the kernel takes none twice.
        let _ = self.sockets.clear_index(&place(group, seat));
        self.sockets.set(place(group, seat), &fd, 0).map_err(map_error(names::SOCKETS))?;
        let selector = self.selector(is_udp(&key))?;
        selector.attach(socket).map_err(|source| KernelError::Select { address: key.0, source: Box::new(source) })?;
        Ok(())
    }

    fn select(&mut self, group: u32, members: &[Member]) -> Result<(), KernelError> {
        self.group_map.set(group, Value(group_of(members)), 0).map_err(map_error(names::GROUPS))
    }

    /// Attaches the selector to the group of a listener that has joined, where somebody else may have replaced it.
    pub(crate) fn attach_anew(&self, address: Address, socket: impl AsFd) -> Result<(), KernelError> {
        let selector = self.selector(false)?;
        selector.attach(socket).map_err(|source| KernelError::Select { address, source: Box::new(source) })?;
        Ok(())
    }

    /// Reads from the maps what an earlier master has left there. It may have died between any two steps: who is chosen from is
    /// complete, and what else is at a place is not certain. A listener's place is cleared then, a UDP socket may have flows.
    ///
    /// # Errors
    /// [`KernelError::Map`].
    pub(super) fn read_held(&mut self) -> Result<(), KernelError> {
        let mut held = Held::default();
        for entry in self.endpoints.iter() {
            let (Value(endpoint), index) = entry.map_err(map_error(names::ENDPOINTS))?;
            let Some(address) = address_of(endpoint).filter(|_| (index as usize) < MAX_GROUPS) else { continue };
            let Value(group) = self.group_map.get(&index, 0).map_err(map_error(names::GROUPS))?;
            let found = registry::Group { index, members: Vec::new(), selected: group.members };
            held.groups.insert((address, endpoint.scope), found);
        }
        let known: Result<Vec<(u64, Value<Listener>)>, MapError> = self.listeners.iter().collect();
        for (cookie, Value(Listener { group, seat })) in known.map_err(map_error(names::LISTENERS))? {
            let Some((key, found)) = held.groups.iter_mut().find(|(_, found)| found.index == group) else { continue };
            let seat = Some(Seat(seat)).filter(|seat| (seat.0 as usize) < MAX_SEATS);
            let selected = seat.filter(|seat| set::contains(&found.selected, seat.0));
            found.members.extend(selected.map(|seat| Member { seat, cookie }));
            let placed = selected.is_some() || seat.is_some() && is_udp(key);
            if let Some(seat) = seat.filter(|_| !placed) {
                // An empty place is as good.
                let _ = self.sockets.clear_index(&place(group, seat));
            }
            let known = selected.is_some() || !placed;
            held.sockets.insert(cookie, HeldSocket { key: *key, seat, known, placed });
        }
        held.groups.values_mut().for_each(|group| group.members.sort_unstable_by_key(|member| member.seat));
        for udp in [false, true] {
            self.say_only_group(udp, held.only(udp));
        }
        self.held = held;
        Ok(())
    }

    /// The cgroup of the worker that has bound a socket; none if it is none that is to be steered.
    ///
    /// # Errors
    /// [`KernelError`].
    pub(crate) fn owner_of(&self, socket: impl AsFd) -> Result<Option<u64>, KernelError> {
        match self.owner.get(&socket.as_fd().as_raw_fd(), 0) {
            Ok(Value(owner)) => Ok(Some(owner.cgroup)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(map_error("OWNER")(error)),
        }
    }

    /// The members of the group of an address. Of listeners that are bound to several devices, which are several groups, it
    /// has one group; [`groups`](Self::groups) has them all.
    #[must_use]
    pub fn members(&self, address: Address) -> &[Member] {
        let of_address = self.held.tcp().find(|((known, _), _)| *known == address);
        of_address.map_or(&[], |(_, group)| group.members.as_slice())
    }

    /// Forgets a listener of llb's own.
    pub(crate) fn forget(&mut self, cookie: u64) {
        // One that is not there is forgotten already.
        let _ = self.listeners.remove(&cookie);
    }

    /// The addresses and members of the groups of TCP listeners.
    pub fn groups(&self) -> impl Iterator<Item = (Address, &[Member])> {
        self.held.tcp().map(|((address, _), group)| (*address, group.members.as_slice()))
    }
}

fn group_of(members: &[Member]) -> Group {
    let set = set::of(members.iter().map(|member| member.seat.0));
    let mut group = Group { members: set, count: members.len() as u32, reserved: 0, seats: [0; MAX_SEATS] };
    for (place, member) in group.seats.iter_mut().zip(members) {
        *place = member.seat.0 as u8;
    }
    group
}

fn endpoint((Address(address), device): Key) -> Endpoint {
    let addr = match address.ip() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    Endpoint { addr: addr.octets(), port: address.port().into(), scope: device }
}

/// IPv4 addresses are entered as `::ffff:a.b.c.d`.
fn address_of(endpoint: Endpoint) -> Option<Address> {
    let v6 = Ipv6Addr::from(endpoint.addr);
    let ip = v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4);
    Some(Address((ip, u16::try_from(endpoint.port).ok()?).into()))
}

pub(super) fn place(group: u32, seat: Seat) -> u32 {
    group * MAX_SEATS as u32 + seat.0
}
