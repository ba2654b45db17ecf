//! Frames built from scratch, with checksums computed the long way: what the data path's arithmetic is held against.

use std::net::{IpAddr, SocketAddr};

/// A UDP frame, before it is bytes.
#[derive(Debug, Clone)]
pub struct Udp {
    pub macs: ([u8; 6], [u8; 6]),
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub payload: Vec<u8>,
    pub hop_limit: u8,
    pub tos: u8,
    /// IPv6 flow label.
    pub flow_label: u32,
    /// IPv4 identification.
    pub id: u16,
    /// IPv4 flags and offset.
    pub fragment: u16,
    pub options: Vec<u8>,
    /// IPv6 extension header: its protocol number, with eight bytes of content.
    pub extension: Option<u8>,
    pub vlan: Option<u16>,
    pub checksum: Checksum,
    /// Bytes behind the IP packet, as short Ethernet frames have them.
    pub trailer: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    Right,
    Zero,
    /// The pseudo header's sum only: what a sender leaves to its card.
    Partial,
    /// Off by one, as a damaged packet has it: it must arrive just as damaged.
    Wrong,
}

/// A datagram from `from` to `to` with unremarkable headers.
pub fn udp(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Udp {
    Udp {
        macs: ([0xaa; 6], [0xbb; 6]),
        from,
        to,
        payload: payload.to_vec(),
        hop_limit: 64,
        tos: 0xb8,
        flow_label: 0xabcde,
        id: 0x1234,
        fragment: 0x4000,
        options: Vec::new(),
        extension: None,
        vlan: None,
        checksum: Checksum::Right,
        trailer: Vec::new(),
    }
}

/// ChannelData, padded with `padding` bytes of 0x5a.
pub fn channel_data(number: u16, data: &[u8], padding: usize) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.extend((data.len() as u16).to_be_bytes());
    bytes.extend(data);
    bytes.extend(std::iter::repeat_n(0x5a, padding));
    bytes
}

impl Udp {
    pub fn bytes(&self) -> Vec<u8> {
        let mut frame = Vec::new();
        frame.extend(self.macs.0);
        frame.extend(self.macs.1);
        if let Some(tci) = self.vlan {
            frame.extend([0x81, 0x00]);
            frame.extend(tci.to_be_bytes());
        }
        let udp = self.datagram();
        match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                frame.extend([0x08, 0x00]);
                let header_length = 20 + self.options.len();
                let mut header = vec![0x40 | (header_length / 4) as u8, self.tos];
                header.extend(((header_length + udp.len()) as u16).to_be_bytes());
                header.extend(self.id.to_be_bytes());
                header.extend(self.fragment.to_be_bytes());
                header.extend([self.hop_limit, 17, 0, 0]);
                header.extend(from.octets());
                header.extend(to.octets());
                header.extend(&self.options);
                let checksum = !ones_complement(&[&header]);
                header[10..12].copy_from_slice(&checksum.to_be_bytes());
                frame.extend(header);
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                frame.extend([0x86, 0xdd]);
                let extension = if self.extension.is_some() { 8 } else { 0 };
                let word = 6 << 28 | u32::from(self.tos) << 20 | self.flow_label;
                frame.extend(word.to_be_bytes());
                frame.extend(((udp.len() + extension) as u16).to_be_bytes());
                frame.extend([self.extension.unwrap_or(17), self.hop_limit]);
                frame.extend(from.octets());
                frame.extend(to.octets());
                if self.extension.is_some() {
                    frame.extend([17, 0, 1, 4, 0, 0, 0, 0]);
                }
            }
            _ => panic!("one family a packet"),
        }
        frame.extend(udp);
        frame.extend(&self.trailer);
        frame
    }

    fn datagram(&self) -> Vec<u8> {
        let length = (8 + self.payload.len()) as u16;
        let mut udp = self.from.port().to_be_bytes().to_vec();
        udp.extend(self.to.port().to_be_bytes());
        udp.extend(length.to_be_bytes());
        udp.extend([0, 0]);
        udp.extend(&self.payload);
        let mut pseudo = octets(self.from.ip());
        pseudo.extend(octets(self.to.ip()));
        pseudo.extend([0, 17]);
        pseudo.extend(length.to_be_bytes());
        let right = match !ones_complement(&[&pseudo, &udp]) {
            0 => 0xffff,
            sum => sum,
        };
        let checksum = match self.checksum {
            Checksum::Right => right,
            Checksum::Zero => 0,
            Checksum::Partial => ones_complement(&[&pseudo]),
            Checksum::Wrong => right ^ 0x0100,
        };
        udp[6..8].copy_from_slice(&checksum.to_be_bytes());
        udp
    }
}

/// RFC 1071 over parts of even length, big endian.
fn ones_complement(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
    }
    sum as u16
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}
