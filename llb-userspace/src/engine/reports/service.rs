//! llb as a service of systemd's: what it says by sd_notify(3), in its own name.
//!
//! Nothing here ever waits. What systemd does not read in time is sent again with a later tick, in order; only the signs
//! of life are not, as a late one is a lie.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    io::{self, ErrorKind},
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

use crate::model::Instant;

/// Messages that may wait for systemd to read; later ones are dropped. One is a change of the fleet's state.
const WAITING: usize = 64;

/// The service manager, or nobody.
#[derive(Debug, Default)]
pub(in crate::engine) struct Service {
    socket: Option<UnixDatagram>,
    waiting: VecDeque<String>,
    /// What `STATUS=` said last.
    shown: String,
    watchdog: Option<Watchdog>,
}

/// systemd ends a service that gives no sign of life for a time that it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Watchdog {
    /// Half of that time, as sd_watchdog_enabled(3) recommends.
    every: Duration,
    due: Instant,
}

impl Service {
    /// Reads from the environment who started us. `pid` is our own, `variable` reads a variable.
    ///
    /// # Errors
    /// If `NOTIFY_SOCKET` is there and leads nowhere.
    pub(in crate::engine) fn find(pid: u32, variable: impl Fn(&str) -> Option<OsString>) -> io::Result<Self> {
        let Some(address) = variable("NOTIFY_SOCKET").filter(|address| !address.is_empty()) else {
            return Ok(Service::default());
        };
        let number = |name: &str| variable(name).and_then(|value| value.to_str()?.parse::<u64>().ok());
        let is_meant = number("WATCHDOG_PID").is_none_or(|meant| meant == u64::from(pid));
        let watchdog = number("WATCHDOG_USEC").filter(|usec| *usec > 0 && is_meant);
        Ok(Service {
            socket: Some(connect(&address)?),
            watchdog: watchdog.map(|usec| Watchdog { every: Duration::from_micros(usec) / 2, due: Instant(0) }),
            ..Service::default()
        })
    }

    /// The fleet serves: for the first time, or again after a reload.
    pub(in crate::engine) fn ready(&mut self) {
        self.say("READY=1".into());
    }

    /// A reload has begun; when it is over, however it ended, the fleet is [`ready`](Self::ready) again.
    pub(in crate::engine) fn reloading(&mut self, now: Instant) {
        self.say(format!("RELOADING=1\nMONOTONIC_USEC={}", now.0 / 1_000));
    }

    /// The fleet is ending.
    pub(in crate::engine) fn stopping(&mut self) {
        self.say("STOPPING=1".into());
    }

    /// What the fleet is at; made only if somebody listens, and said only if it has changed.
    pub(in crate::engine) fn status(&mut self, line: impl FnOnce() -> String) {
        if self.socket.is_none() {
            return;
        }
        let line = line();
        if line != self.shown {
            self.say(format!("STATUS={line}"));
            self.shown = line;
        }
    }

    /// The engine's loop has come round.
    pub(in crate::engine) fn tick(&mut self, now: Instant) {
        self.send_waiting();
        let Some(watchdog) = self.watchdog.as_mut().filter(|watchdog| now >= watchdog.due) else { return };
        watchdog.due = now.after(watchdog.every);
        if let Some(socket) = &self.socket {
            // If it does not read now, it gets the next one.
            let _ = socket.send(b"WATCHDOG=1");
        }
    }

    fn say(&mut self, message: String) {
        if self.socket.is_some() && self.waiting.len() < WAITING {
            self.waiting.push_back(message);
            self.send_waiting();
        }
    }

    fn send_waiting(&mut self) {
        let Some(socket) = &self.socket else { return };
        while let Some(message) = self.waiting.front() {
            match socket.send(message.as_bytes()) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => tracing::warn!(%error, message, "cannot notify systemd"),
                Ok(_) => {}
            }
            self.waiting.pop_front();
        }
    }
}

/// The socket behind an address: a path, or an abstract name after an `@`.
fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    match address.as_bytes().strip_prefix(b"@") {
        Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => socket.connect(address)?,
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::{
        ffi::OsString,
        io::ErrorKind,
        os::{
            linux::net::SocketAddrExt,
            unix::net::{SocketAddr, UnixDatagram},
        },
        time::Duration,
    };

    use super::{Service, WAITING};
    use crate::model::Instant;

    const SECOND: u64 = 1_000_000_000;

    /// systemd, listening at an abstract name, and the service that has been told of it and of `more`.
    fn pair(name: &str, more: &[(&str, &str)]) -> (UnixDatagram, Service) {
        let name = format!("llb-service-{name}-{}", std::process::id());
        let systemd = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        systemd.set_nonblocking(true).unwrap();
        let variable = |wanted: &str| match wanted {
            "NOTIFY_SOCKET" => Some(OsString::from(format!("@{name}"))),
            _ => more.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.into()),
        };
        (systemd, Service::find(7, variable).unwrap())
    }

    /// Everything that systemd has not read yet.
    fn heard(systemd: &UnixDatagram) -> Vec<String> {
        let mut all = Vec::new();
        let mut text = [0; 256];
        loop {
            match systemd.recv(&mut text) {
                Ok(length) => all.push(String::from_utf8_lossy(&text[..length]).into_owned()),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    return all;
                }
            }
        }
    }

    #[test]
    fn without_a_manager_nothing_is_said() {
        let mut service = Service::find(7, |_| None).unwrap();
        service.ready();
        service.status(|| unreachable!("nobody listens"));
        service.tick(Instant(SECOND));
        assert!(service.waiting.is_empty());
        assert!(Service::find(7, |name| (name == "NOTIFY_SOCKET").then(|| "/no/such/socket".into())).is_err());
    }

    #[test]
    fn a_status_is_said_when_it_changes() {
        let (systemd, mut service) = pair("status", &[]);
        service.status(|| "1 of 2".into());
        service.status(|| "1 of 2".into());
        service.ready();
        service.status(|| "2 of 2".into());
        service.reloading(Instant(SECOND));
        service.stopping();
        let all = ["STATUS=1 of 2", "READY=1", "STATUS=2 of 2", "RELOADING=1\nMONOTONIC_USEC=1000000", "STOPPING=1"];
        assert_eq!(heard(&systemd), all);
    }

    #[test]
    fn a_sign_of_life_is_given_twice_in_the_watchdogs_time_and_only_then() {
        let (systemd, mut service) = pair("watchdog", &[("WATCHDOG_USEC", "2000000"), ("WATCHDOG_PID", "7")]);
        for tenth in 1..=30 {
            service.tick(Instant(tenth * SECOND / 10));
        }
        assert_eq!(heard(&systemd), ["WATCHDOG=1"; 3]);
        let (systemd, mut other) = pair("not-meant", &[("WATCHDOG_USEC", "2000000"), ("WATCHDOG_PID", "8")]);
        other.tick(Instant(SECOND));
        assert!(heard(&systemd).is_empty());
        assert_eq!(other.watchdog, None);
        let (_systemd, never) = pair("never", &[("WATCHDOG_USEC", "0")]);
        assert_eq!(never.watchdog, None);
        assert_eq!(service.watchdog.unwrap().every, Duration::from_secs(1));
    }

    #[test]
    fn what_is_not_read_waits_and_nobody_waits_for_it() {
        let (systemd, mut service) = pair("deaf", &[("WATCHDOG_USEC", "2000000")]);
        for number in 0..1_000 {
            service.status(|| number.to_string());
        }
        assert_eq!(service.waiting.len(), WAITING);
        let mut all = heard(&systemd);
        // A sign of life does not wait, nor come before what has waited.
        service.tick(Instant(SECOND));
        while !service.waiting.is_empty() {
            all.extend(heard(&systemd));
            service.tick(Instant(SECOND));
        }
        all.extend(heard(&systemd));
        all.retain(|message| message != "WATCHDOG=1");
        let expected: Vec<String> = (0..all.len()).map(|number| format!("STATUS={number}")).collect();
        assert_eq!(all, expected);
    }
}
