//! Sockets of this network namespace from /proc, with the processes that hold them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::super::facts::Bound;
use super::text;

/// Tables of one protocol, and the state of sockets that count, if not all do.
pub type Tables = ([&'static str; 2], Option<&'static str>);

pub const UDP: Tables = (["/proc/net/udp", "/proc/net/udp6"], None);
/// TCP_LISTEN of the kernel.
pub const LISTENING: Tables = (["/proc/net/tcp", "/proc/net/tcp6"], Some("0A"));

/// Those whose port is `wanted`.
pub fn read((tables, state): Tables, wanted: impl Fn(u16) -> bool) -> Vec<Bound> {
    let mut sockets = Vec::new();
    for path in tables {
        sockets.extend(parse(&text(path).unwrap_or_default(), state));
    }
    sockets.retain(|(address, _)| wanted(address.port()));
    if sockets.is_empty() {
        return Vec::new();
    }
    let owners = owners();
    let bound = |(address, inode)| Bound {
        address,
        owner: owners.get(&inode).cloned(),
    };
    sockets.into_iter().map(bound).collect()
}

/// Address and inode of each line; addresses are hexadecimal words of the host's byte order.
fn parse(table: &str, state: Option<&str>) -> Vec<(SocketAddr, u64)> {
    let line = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        if state.is_some_and(|state| fields.get(3) != Some(&state)) {
            return None;
        }
        let (ip, port) = fields.get(1)?.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        Some((
            SocketAddr::new(ip_of(ip)?, port),
            fields.get(9)?.parse().ok()?,
        ))
    };
    table.lines().skip(1).filter_map(line).collect()
}

fn ip_of(hex: &str) -> Option<IpAddr> {
    let mut bytes = Vec::with_capacity(16);
    for start in (0..hex.len()).step_by(8) {
        let word = u32::from_str_radix(hex.get(start..start + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes)
            .ok()
            .map(|b| Ipv4Addr::from(b).into()),
        _ => <[u8; 16]>::try_from(bytes)
            .ok()
            .map(|b| Ipv6Addr::from(b).into()),
    }
}

/// Process id and name by inode of a socket; only what this user may see.
fn owners() -> HashMap<u64, (u32, String)> {
    let mut owners = HashMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let name = text(&format!("/proc/{pid}/comm")).unwrap_or_default();
        for file in std::fs::read_dir(entry.path().join("fd"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let target = std::fs::read_link(file.path()).unwrap_or_default();
            let inode = target.to_str().and_then(|target| {
                target
                    .strip_prefix("socket:[")?
                    .strip_suffix(']')?
                    .parse()
                    .ok()
            });
            owners.extend(inode.map(|inode: u64| (inode, (pid, name.clone()))));
        }
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_proc_is_an_address_and_an_inode() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n \
                     7: 0100007F:0D96 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0 0\n \
                     8: 00000000000000000000000001000000:0D96 0:0 07 0:0 0:0 0     0        0 4712 2 0 0\n";
        let expected = [("127.0.0.1:3478", 4711), ("[::1]:3478", 4712)];
        assert_eq!(
            parse(table, None),
            expected.map(|(address, inode)| (address.parse().unwrap(), inode))
        );
        assert_eq!(parse(table, Some("07")).len(), 1);
    }
}
