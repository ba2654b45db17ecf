//! The words of the configuration: text to one typed value. The same spelling is read from file, environment, flags and the admin socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use ipnet::IpNet;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::fault::{At, Wrong};
use super::{Destination, LogFormat, XdpMode};
use crate::advertise::Advertised;
use crate::police::Limit;

mod event;
mod listener;
mod time;
mod web;
pub use event::event_pattern;
pub use listener::{Protocol, certificate, listen, listener, of_protocol};
pub use time::{duration, duration_text, wait};
pub use web::web_address;

pub(super) type Read<T> = Result<T, Wrong>;

pub(super) fn wrong<T>(problem: impl Into<String>, remedy: impl Into<String>) -> Read<T> {
    Err(Wrong::new(problem, remedy))
}

/// Bits per second: `10M`, `64k`, `1G`, `2.5M` or a plain number.
pub fn bit_rate(text: &str) -> Read<u64> {
    const REMEDY: &str = "write bits per second: 64k, 10M or 1G";
    let text = text.trim();
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1e3),
        Some((at, 'M')) => (&text[..at], 1e6),
        Some((at, 'G')) => (&text[..at], 1e9),
        _ => (text, 1.0),
    };
    let plain = digits.chars().all(|c| c.is_ascii_digit() || c == '.');
    match digits.parse::<f64>() {
        Ok(number) if plain && number * unit <= 1e15 => match (number * unit).round() as u64 {
            bits if bits < Limit::FEWEST_BITS => wrong(
                format!("{text} is less than a packet in a second"),
                format!("write {} or more", Limit::FEWEST_BITS),
            ),
            bits => Ok(bits),
        },
        _ => wrong(format!("{text:?} is not a bit rate"), REMEDY),
    }
}

/// `10M` back from a bit rate, the shortest exact spelling.
pub fn bit_rate_text(bits: u64) -> String {
    match bits {
        bits if bits % 1_000_000_000 == 0 => format!("{}G", bits / 1_000_000_000),
        bits if bits % 1_000_000 == 0 => format!("{}M", bits / 1_000_000),
        bits if bits % 1000 == 0 => format!("{}k", bits / 1000),
        bits => bits.to_string(),
    }
}

/// `49152-65535`.
pub fn ports(text: &str) -> Read<RangeInclusive<u16>> {
    const REMEDY: &str = "write FIRST-LAST, for example 49152-65535";
    let bounds = text
        .split_once('-')
        .and_then(|(low, high)| Some((low.trim().parse().ok()?, high.trim().parse().ok()?)));
    match bounds {
        Some((0, _)) => wrong(
            "port 0 cannot be relayed on",
            "start the range at 1024 or higher",
        ),
        Some((low, high)) if low <= high => Ok(low..=high),
        Some((low, high)) => wrong(
            format!("the range {low}-{high} is empty"),
            "put the lower port first",
        ),
        None => wrong(format!("{text:?} is not a port range"), REMEDY),
    }
}

/// A forward's public port: `udp/5004` (every IPv4 address) or `udp/IP:5004`.
pub fn forward_listen(text: &str) -> Read<SocketAddr> {
    const REMEDY: &str =
        "write udp/PORT or udp/ADDRESS:PORT, for example udp/5004 or udp/[::]:5004";
    if !text.contains('/') {
        return wrong(format!("{text:?} does not name a protocol"), REMEDY);
    }
    let address = without_protocol(text, Protocol::Udp)?;
    if let Ok(port) = address.parse::<u16>() {
        return Ok((Ipv4Addr::UNSPECIFIED, port).into());
    }
    address
        .parse()
        .or_else(|_| wrong(format!("{text:?} is not a port to listen on"), REMEDY))
}

fn without_protocol(text: &str, wanted: Protocol) -> Read<&str> {
    match text.trim().split_once('/') {
        None => Ok(text.trim()),
        Some((name, address)) if name == wanted.name() => Ok(address),
        Some((other, _)) => wrong(
            format!("{other:?} is not a protocol the relay listens with here"),
            format!("write {}/…", wanted.name()),
        ),
    }
}

pub fn socket_address(text: &str) -> Read<SocketAddr> {
    text.trim().parse().or_else(|_| {
        wrong(
            format!("{text:?} is not an address with a port"),
            "write IP:PORT, for example 192.0.2.1:3478 or [2001:db8::1]:3478",
        )
    })
}

pub fn ip(text: &str) -> Read<IpAddr> {
    let address: IpAddr = text.trim().parse().or_else(|_| {
        wrong(
            format!("{text:?} is not an IP address"),
            "write one address of this host, without port or prefix length",
        )
    })?;
    if address.is_unspecified() || address.is_multicast() {
        return wrong(
            format!("{address} is not one address of this host"),
            "name the address peers shall see",
        );
    }
    Ok(address)
}

/// `LOCAL=PUBLIC`: an address of this host and the one a 1:1 NAT gives it.
pub fn advertised(text: &str) -> Read<Advertised> {
    const REMEDY: &str = "write LOCAL=PUBLIC, for example 10.0.0.5=198.51.100.5";
    let pair = text.split_once('=');
    let Some(pair) = pair.map(|(local, public)| (ip(local), ip(public))) else {
        return wrong(format!("{text:?} names no public address"), REMEDY);
    };
    let (local, public) = (pair.0?, pair.1?);
    if local.is_ipv4() != public.is_ipv4() || local == public {
        let problem = format!("{text:?} is not one address behind another of its family");
        return wrong(problem, REMEDY);
    }
    Ok(Advertised { local, public })
}

/// `10.0.0.0/8`, or one address. Bits beyond the prefix are refused: they show a misunderstanding.
pub fn network(text: &str) -> Read<IpNet> {
    let text = text.trim();
    let net = match text.parse::<IpAddr>() {
        Ok(one) => IpNet::from(one),
        Err(_) => text.parse::<IpNet>().or_else(|_| {
            wrong(
                format!("{text:?} is not a network"),
                "write ADDRESS/LENGTH, for example 10.0.0.0/8 or 2001:db8::/32",
            )
        })?,
    };
    if net.trunc() != net {
        return wrong(
            format!("{net} has address bits beyond its prefix"),
            format!("write {} or {}", net.trunc(), IpNet::from(net.addr())),
        );
    }
    Ok(net)
}

/// `HOST:PORT`; an IPv6 address stands in brackets.
pub fn destination(text: &str) -> Read<Destination> {
    const REMEDY: &str =
        "write HOST:PORT, for example media.example.org:5004 or [2001:db8::1]:5004";
    let split = text.trim().rsplit_once(':');
    let Some((host, port)) = split.and_then(|(h, p)| Some((h, p.parse::<u16>().ok()?))) else {
        return wrong(format!("{text:?} is not a destination"), REMEDY);
    };
    if port == 0 {
        return wrong("nothing can be sent to port 0", REMEDY);
    }
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let valid = match bare {
        Some(v6) => v6.parse::<Ipv6Addr>().is_ok(),
        None => host.parse::<Ipv4Addr>().is_ok() || is_dns_name(host),
    };
    if !valid {
        return wrong(
            format!("{host:?} is neither an address nor a DNS name"),
            REMEDY,
        );
    }
    Ok(Destination {
        host: bare.unwrap_or(host).to_owned(),
        port,
    })
}

/// Where clients reach the relay: an address or DNS name, with a port where it is not the relay's own.
pub fn public_host(text: &str) -> Read<(String, Option<u16>)> {
    let bare = text.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host = bare.unwrap_or(text);
    if host.parse::<IpAddr>().is_ok() || (bare.is_none() && is_dns_name(host)) {
        return Ok((host.to_owned(), None));
    }
    match destination(text) {
        Ok(to) => Ok((to.host, Some(to.port))),
        Err(_) => wrong(
            format!("{text:?} is not a host"),
            "write an address or a DNS name, with :PORT behind it where clients need another, without turn: in front",
        ),
    }
}

/// RFC 1123 names. A last label of digits only would be a mistyped IPv4 address (RFC 3696 §2).
pub(super) fn is_dns_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let digits = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
    name.len() <= 253 && name.split('.').all(label) && !name.rsplit('.').next().is_none_or(digits)
}

/// Names of forwards and users of the admin socket: short and safe in a URL, a table and a metric label.
pub fn name(text: &str) -> Read<String> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if (1..=64).contains(&text.len()) && text.bytes().all(good) {
        return Ok(text.to_owned());
    }
    wrong(
        format!("{text:?} is not a name"),
        "use 1 to 64 letters, digits, '.', '_' or '-'",
    )
}

/// A Linux interface name; whether it exists is found out when the program is attached.
pub fn interface(text: &str) -> Read<String> {
    let bad = |c: char| c == '/' || c.is_whitespace();
    if text.is_empty() || text.len() > 15 || text.contains(bad) {
        return wrong(
            format!("{text:?} is not an interface name"),
            "name a card as `ip link` shows it, for example eth0",
        );
    }
    Ok(text.to_owned())
}

pub fn xdp(text: &str) -> Read<XdpMode> {
    match text {
        "auto" => Ok(XdpMode::Auto),
        "native" => Ok(XdpMode::Native),
        "generic" => Ok(XdpMode::Generic),
        "off" => Ok(XdpMode::Off),
        _ => wrong(
            format!("{text:?} is not an XDP mode"),
            "write auto, native, generic or off",
        ),
    }
}

/// `off`, or where to listen.
pub fn metrics(text: &str) -> Read<Option<SocketAddr>> {
    match text.trim() {
        "off" => Ok(None),
        address => socket_address(address).map(Some).or_else(|_| {
            wrong(
                format!("{text:?} is not an address with a port"),
                "write 127.0.0.1:9478 or off",
            )
        }),
    }
}

pub fn log_format(text: &str) -> Read<LogFormat> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => wrong(
            format!("{text:?} is not a log format"),
            "write text or json",
        ),
    }
}

/// `info`, or directives such as `warn,relay_userspace::turn=debug`. A bare word that is no level would be a target:
/// a mistyped level must not silence everything.
pub fn log_level(text: &str) -> Read<String> {
    let is_level = |word: &str| !word.is_empty() && word.parse::<LevelFilter>().is_ok();
    let words_are_levels = text
        .split(',')
        .all(|one| one.contains(['=', '[', ']', '{', '}']) || is_level(one.trim()));
    match EnvFilter::try_new(text) {
        Ok(_) if words_are_levels => Ok(text.to_owned()),
        _ => wrong(
            format!("{text:?} is not a log level"),
            "write error, warn, info, debug, trace, off, or directives such as warn,relay_userspace=debug",
        ),
    }
}

/// A whole number from an environment variable or a flag.
pub fn number<T: FromStr>(text: &str) -> Read<T> {
    text.trim().parse().or_else(|_| {
        wrong(
            format!("{text:?} is not a whole number in range"),
            "write digits only, without a sign or unit",
        )
    })
}

/// As TOML writes it.
pub fn boolean(text: &str) -> Read<bool> {
    text.trim()
        .parse()
        .or_else(|_| wrong(format!("{text:?} is neither"), "write true or false"))
}

/// One text may stand for several values; each keeps the place of the text.
pub fn spread<T>(all: Vec<At<Vec<T>>>) -> Vec<At<T>> {
    let each = |at: At<Vec<T>>| {
        let place = at.place;
        at.value
            .into_iter()
            .map(move |value| place.clone().of(value))
    };
    all.into_iter().flat_map(each).collect()
}

#[cfg(test)]
mod tests;
