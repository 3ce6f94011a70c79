//! Where the metrics of a fleet are served.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use crate::kernel::{Limit, OwnPorts};

/// What a Unix socket's address begins with.
const UNIX: &str = "unix:";

/// Where the metrics of a fleet are served over HTTP: `ADDR:PORT`, a port of 127.0.0.1, or `unix:PATH`.
///
/// ```
/// use llb::config::{Config, MetricsAddress};
///
/// # fn main() -> Result<(), String> {
/// let metrics: MetricsAddress = "127.0.0.1:9464".parse()?;
/// assert_eq!("9464".parse(), Ok(metrics.clone()));
/// assert_eq!("unix:/run/web.metrics".parse(), Ok(MetricsAddress::Unix("/run/web.metrics".into())));
/// assert!("localhost".parse::<MetricsAddress>().is_err());
///
/// let mut config = Config::new("node", ["server.js"]);
/// config.metrics = Some(metrics);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricsAddress {
    /// A TCP address.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl MetricsAddress {
    /// Whether workers are to share this port, or to have it.
    pub(crate) fn is_a_workers(&self, limits: &[Limit], own_ports: &[OwnPorts]) -> bool {
        let MetricsAddress::Tcp(address) = self else { return false };
        let overlap = |limit: &Limit| {
            let same = |addr| addr == address.ip() || address.ip().is_unspecified();
            limit.port == address.port() && limit.addr.is_none_or(same)
        };
        limits.iter().any(overlap) || own_ports.iter().any(|own| (own.first..=own.last).contains(&address.port()))
    }
}

impl fmt::Display for MetricsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MetricsAddress::Tcp(address) => address.fmt(f),
            MetricsAddress::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

impl FromStr for MetricsAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix(UNIX).filter(|path| !path.is_empty()) {
            return Ok(MetricsAddress::Unix(path.into()));
        }
        let local = |port| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
        let parsed = text.parse::<u16>().map(local).or_else(|_| text.parse());
        match parsed {
            Ok(address) if address.port() != 0 => Ok(MetricsAddress::Tcp(address)),
            _ => Err("give an address and a port, as 127.0.0.1:9464 or [::1]:9464, a port, or unix:PATH".into()),
        }
    }
}

/// What each worker is asked for its own metrics: a path, and before it a port if workers listen on several.
///
/// ```
/// use llb::config::{Config, Limit, Scrape};
///
/// # fn main() -> Result<(), String> {
/// let scrape: Scrape = "/metrics".parse()?;
/// assert_eq!(scrape, Scrape { port: None, path: "/metrics".into() });
/// assert_eq!("9100/stats".parse(), Ok(Scrape { port: Some(Limit { addr: None, port: 9100 }), path: "/stats".into() }));
///
/// let mut config = Config::new("node", ["server.js"]);
/// config.scrape = Some(scrape);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scrape {
    /// Where they are asked, if they listen on several ports.
    pub port: Option<Limit>,
    /// For what.
    pub path: String,
}

impl FromStr for Scrape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong =
            || "give a path, as /metrics, or a port and a path, as 9100/metrics or [::]:9100/metrics".to_owned();
        let (port, _) = text.split_once('/').ok_or_else(wrong)?;
        let path = &text[port.len()..];
        let port = match (port, port.parse::<u16>(), port.parse::<SocketAddr>()) {
            ("", ..) => None,
            (_, Ok(port), _) => Some(Limit { addr: None, port }),
            (.., Ok(address)) => Some(Limit { addr: Some(address.ip()), port: address.port() }),
            _ => return Err(wrong()),
        };
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) || port.is_some_and(|limit| limit.port == 0) {
            return Err(wrong());
        }
        Ok(Scrape { port, path: path.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{MetricsAddress, Scrape};
    use crate::kernel::{Limit, OwnPorts};

    #[test]
    fn an_address_is_written_as_it_is_read() {
        for text in ["127.0.0.1:9464", "[::1]:9464", "unix:/run/llb.metrics"] {
            assert_eq!(text.parse::<MetricsAddress>().unwrap().to_string(), text);
        }
        for wrong in ["", "0", "127.0.0.1:0", "unix:", "/run/socket", "localhost:80", "70000"] {
            assert!(wrong.parse::<MetricsAddress>().unwrap_err().contains("9464"), "{wrong}");
        }
    }

    #[test]
    fn workers_are_asked_at_a_port_if_one_is_given() {
        let six = Limit { addr: Some("::".parse().unwrap()), port: 9100 };
        assert_eq!("[::]:9100/a/b?c=d".parse(), Ok(Scrape { port: Some(six), path: "/a/b?c=d".into() }));
        for wrong in ["", "metrics", "0/metrics", "99999/", "/a b", "localhost:80/metrics"] {
            assert!(wrong.parse::<Scrape>().unwrap_err().contains("/metrics"), "{wrong}");
        }
    }

    #[test]
    fn a_port_of_the_workers_is_noticed() {
        let limit = |addr: Option<[u8; 4]>| [Limit { addr: addr.map(IpAddr::from), port: 8080 }];
        let own = [OwnPorts { first: 9100, last: 9109, by_slot: false }];
        let clash = |text: &str, addr| text.parse::<MetricsAddress>().unwrap().is_a_workers(&limit(addr), &own);
        assert!(clash("127.0.0.1:8080", None) && clash("0.0.0.0:8080", Some([10, 0, 0, 1])) && clash("9105", None));
        assert!(!clash("127.0.0.1:8080", Some([10, 0, 0, 1])) && !clash("8081", None) && !clash("unix:/x", None));
    }
}
