//! Options whose text is read here, and what is said of a wrong one.

use std::{net::SocketAddr, time::Duration};

use clap::builder::RangedI64ValueParser;
use llb_common::abi::MAX_SEATS;

use crate::{
    config::Concurrency,
    kernel::{Limit, OwnPorts},
    sys::affinity,
};

/// Bits of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Prefixes {
    pub v4: u8,
    pub v6: u8,
}

pub(super) fn prefixes(text: &str) -> Result<Prefixes, String> {
    let bits = |text: &str, most: u8| text.parse().ok().filter(|bits| (1..=most).contains(bits));
    let both = text.split_once(',').and_then(|(v4, v6)| Some(Prefixes { v4: bits(v4, 32)?, v6: bits(v6, 128)? }));
    both.ok_or_else(|| "give bits of IPv4, 1 to 32, and of IPv6, 1 to 128, as 24,64".into())
}

pub(super) fn ttl(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(ttl) if ttl < Duration::from_secs(1) => Err("a client is remembered for a second at least".into()),
        parsed => parsed.map_err(|error| error.to_string()),
    }
}

pub(super) fn concurrency(text: &str) -> Result<Concurrency, String> {
    match text.parse() {
        Ok(0) => Err("a worker that serves none is none".into()),
        Ok(concurrency) => Ok(Concurrency::Fixed(concurrency)),
        Err(_) if text == "off" => Ok(Concurrency::Off),
        Err(_) if text == "auto" => Ok(Concurrency::Auto),
        Err(_) => Err("give a number, auto or off".into()),
    }
}

/// CPUs, by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Cpus {
    /// Those that llb may use.
    Auto,
    List(Vec<usize>),
}

pub(super) fn cpus(text: &str) -> Result<Cpus, String> {
    match text {
        "auto" => Ok(Cpus::Auto),
        list => affinity::list(list).map(Cpus::List).ok_or_else(|| "give auto, or numbers of CPUs, as 0-3,8".into()),
    }
}

/// What stands in the first line of a request.
pub(super) fn path(text: &str) -> Result<String, String> {
    match text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(text.to_owned()),
        false => Err("give a path, as /health, with what is not ASCII or a space as %XX".into()),
    }
}

/// A quarter of it is the grain of the kernel's table.
pub(super) fn flow_timeout(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time < Duration::from_millis(100) => Err("the shortest is 100ms".into()),
        parsed => parsed.map_err(|error| error.to_string()),
    }
}

pub(super) fn age(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("a worker is older than that when it starts".into()),
        parsed => parsed.map_err(|error| error.to_string()),
    }
}

/// A number with up to three digits behind the point, in thousandths.
pub(super) fn thousandths(text: &str) -> Result<u32, String> {
    const LEAST: u32 = 10;
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let number = (digits(whole) && digits(part) && part.len() <= 3)
        .then(|| format!("{whole}{part:0<3}"))
        .and_then(|number| number.parse().ok());
    match number {
        Some(number @ LEAST..) => Ok(number),
        Some(_) => Err("the least is 0.01".into()),
        None => Err("give a number of CPUs, as 2 or 1.5".into()),
    }
}

/// A number, and the first letter of its unit behind it or none.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    const UNITS: &str = "KMGT";
    let unit = text.chars().last().and_then(|letter| UNITS.find(letter.to_ascii_uppercase()));
    let (number, shift) = unit.map_or((text, 0), |unit| (&text[..text.len() - 1], 10 * (unit + 1)));
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift)) {
        Some(bytes @ 1..) => Ok(bytes),
        _ => Err("give bytes, or a whole number with K, M, G or T behind it, as 512M".into()),
    }
}

/// How many workers there can be.
pub(super) fn workers() -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=MAX_SEATS as i64)
}

/// `PORT`, `ADDR:PORT` or `[ADDR]:PORT`.
pub(super) fn limit(text: &str) -> Result<Limit, String> {
    let limit = match text.parse::<u16>() {
        Ok(port) => Limit { addr: None, port },
        Err(_) => {
            let address: SocketAddr = text.parse().map_err(|_| {
                "give a port, as 8080, or an address and a port, as 127.0.0.1:8080 or [::1]:8080".to_owned()
            })?;
            Limit { addr: Some(address.ip()), port: address.port() }
        }
    };
    if limit.port == 0 {
        return Err("port 0 is a different port in every worker and is never shared".into());
    }
    Ok(limit)
}

/// `PORT` or `PORT-PORT`, and a `+` behind it or none.
pub(super) fn own_ports(text: &str) -> Result<OwnPorts, String> {
    let (range, by_slot) = text.strip_suffix('+').map_or((text, false), |range| (range, true));
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if 0 < first && first <= last => Ok(OwnPorts { first, last, by_slot }),
        _ => {
            Err("give a port, as 9100, or a range, as 50000-50099, with a + behind it if it is higher by the slot"
                .into())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn own_ports_are_read_with_range_and_plus() {
        assert_eq!(own_ports("9100"), Ok(OwnPorts { first: 9100, last: 9100, by_slot: false }));
        assert_eq!(own_ports("9100-9109+"), Ok(OwnPorts { first: 9100, last: 9109, by_slot: true }));
        for wrong in ["", "+", "0", "9-8", "9100-", "http", "70000", "9100++"] {
            assert!(own_ports(wrong).unwrap_err().contains("9100"), "{wrong}");
        }
    }

    #[test]
    fn bytes_are_read_with_and_without_a_unit() {
        for (text, read) in
            [("1", 1), ("4096", 4096), ("2K", 2048), ("512M", 512 << 20), ("3g", 3 << 30), ("1T", 1 << 40)]
        {
            assert_eq!(bytes(text), Ok(read));
        }
        for wrong in ["", "0", "M", "0G", "-1", "1.5G", "512MB", "99999999999T", "1é"] {
            assert!(bytes(wrong).unwrap_err().contains("512M"), "{wrong}");
        }
        assert!(path("health").is_err() && path("/a b").is_err() && path("/\r\n").is_err() && path("/a?b=%20").is_ok());
        assert!(age("0s").is_err() && age("soon").is_err() && age("1h").is_ok());
    }

    #[test]
    fn cpu_time_is_read_in_thousandths() {
        for (text, read) in [("1", 1_000), ("1.5", 1_500), ("0.01", 10), ("12.345", 12_345)] {
            assert_eq!(thousandths(text), Ok(read));
        }
        for wrong in ["", "0", "0.009", "1.2345", "-1", "1e3", "1.5 ", "4294968"] {
            assert!(thousandths(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn prefixes_are_read_of_both_families() {
        assert_eq!(prefixes("24,64"), Ok(Prefixes { v4: 24, v6: 64 }));
        for wrong in ["", "24", "0,64", "24,0", "33,64", "24,129", "24,64,1", "a,b"] {
            assert!(prefixes(wrong).unwrap_err().contains("24,64"), "{wrong}");
        }
        assert!(ttl("999ms").is_err() && ttl("never").is_err() && ttl("2h").is_ok());
    }

    #[test]
    fn ports_are_read_with_and_without_an_address() {
        assert_eq!(limit("8080"), Ok(Limit { addr: None, port: 8080 }));
        assert_eq!(limit("127.0.0.1:80"), Ok(Limit { addr: Some(IpAddr::from([127, 0, 0, 1])), port: 80 }));
        assert_eq!(limit("[::1]:80").map(|limit| limit.port), Ok(80));
        assert!(limit("0").unwrap_err().contains("port 0"));
        assert!(limit("http").unwrap_err().contains("8080"));
        assert!(limit("70000").is_err());
    }
}
