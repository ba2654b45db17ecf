//! Two questions the kernel answers by generic netlink: a card's XDP features and its offloads. Asks only.

use std::io::{self, Read, Write};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

const REQUEST: u16 = 1;
const ERROR: u16 = 2;
const NESTED: u16 = 0x8000;
/// The low bits of an attribute's type; the others are flags.
const TYPE: u16 = 0x3FFF;
const CONTROL: u16 = 16;
const HEADERS: usize = 20;

pub struct Generic {
    socket: Socket,
}

impl Generic {
    pub fn open() -> io::Result<Self> {
        let socket = Socket::new(
            Domain::from(libc::AF_NETLINK),
            Type::RAW,
            Some(Protocol::from(libc::NETLINK_GENERIC)),
        )?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        Ok(Self { socket })
    }

    /// Bits of `enum netdev_xdp_act`: `dev-get` of <https://docs.kernel.org/netlink/specs/netdev.html>.
    pub fn xdp_features(&mut self, ifindex: u32) -> io::Result<u64> {
        let family = self.family("netdev")?;
        let answer = self.ask(family, 1, &attribute(1, &ifindex.to_ne_bytes()))?;
        let bits = find(&answer, 3).ok_or(io::ErrorKind::InvalidData)?;
        Ok(
            match (<[u8; 8]>::try_from(bits), <[u8; 4]>::try_from(bits)) {
                (Ok(wide), _) => u64::from_ne_bytes(wide),
                (_, Ok(narrow)) => u32::from_ne_bytes(narrow).into(),
                _ => return Err(io::ErrorKind::InvalidData.into()),
            },
        )
    }

    /// Names of the features that are on: `features-get` of <https://docs.kernel.org/networking/ethtool-netlink.html>.
    pub fn features(&mut self, ifindex: u32) -> io::Result<Vec<String>> {
        let family = self.family("ethtool")?;
        let header = attribute(1 | NESTED, &attribute(1, &ifindex.to_ne_bytes()));
        let answer = self.ask(family, 11, &header)?;
        let active = find(&answer, 4).ok_or(io::ErrorKind::InvalidData)?;
        let bits = find(active, 3).unwrap_or_default();
        let name = |(_, bit)| {
            find(bit, 2).map(|name| {
                String::from_utf8_lossy(name)
                    .trim_end_matches('\0')
                    .to_owned()
            })
        };
        Ok(attributes(bits).filter_map(name).collect())
    }

    fn family(&mut self, name: &str) -> io::Result<u16> {
        let answer = self.ask(CONTROL, 3, &attribute(2, format!("{name}\0").as_bytes()))?;
        let id = find(&answer, 1).and_then(|id| <[u8; 2]>::try_from(id).ok());
        id.map(u16::from_ne_bytes)
            .ok_or(io::ErrorKind::InvalidData.into())
    }

    /// Attributes of the answer.
    fn ask(&mut self, kind: u16, command: u8, attributes: &[u8]) -> io::Result<Vec<u8>> {
        let mut message = Vec::with_capacity(HEADERS + attributes.len());
        message.extend(((HEADERS + attributes.len()) as u32).to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(REQUEST.to_ne_bytes());
        message.extend([0; 8]);
        message.extend([command, 1, 0, 0]);
        message.extend(attributes);
        self.socket.write_all(&message)?;
        let mut answer = vec![0; 64 * 1024];
        let length = self.socket.read(&mut answer)?;
        answer.truncate(length);
        let word = |at: usize| {
            answer
                .get(at..at + 4)
                .and_then(|word| <[u8; 4]>::try_from(word).ok())
        };
        let kind = answer
            .get(4..6)
            .map(|kind| u16::from_ne_bytes([kind[0], kind[1]]));
        match (kind, word(16)) {
            (Some(ERROR), Some(code)) => {
                Err(io::Error::from_raw_os_error(-i32::from_ne_bytes(code)))
            }
            (Some(_), Some(_)) => Ok(answer.split_off(HEADERS)),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Length, type, value, padded to words.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.len() + 8);
    bytes.extend((value.len() as u16 + 4).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let [a, b, c, d] = *bytes.first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([c, d]) & TYPE, value))
    })
}

fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes)
        .find(|(found, _)| *found == kind)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_as_they_are_written_and_garbage_ends_them() {
        let mut bytes = attribute(1 | NESTED, &attribute(2, b"eth0\0"));
        bytes.extend(attribute(3, &7u64.to_ne_bytes()));
        assert_eq!(
            find(&bytes, 1).and_then(|inner| find(inner, 2)),
            Some(&b"eth0\0"[..])
        );
        assert_eq!(find(&bytes, 3), Some(&7u64.to_ne_bytes()[..]));
        assert_eq!(attributes(&[1, 0, 0, 0]).count(), 0);
        assert_eq!(attributes(&[200, 0, 0, 0, 1]).count(), 0);
    }
}
