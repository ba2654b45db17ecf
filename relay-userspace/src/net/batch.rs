//! The memory datagrams are received into: one per worker, reused for every socket, never grown.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::marks::Marks;
use super::message::{BATCH, Envelopes, Meta};

/// The largest datagram, and the largest train of datagrams GRO hands over as one.
const BUFFER: usize = 1 << 16;

/// Datagrams of one sender that came together, marked alike.
#[derive(Debug, Clone, Copy)]
pub struct Train<'a> {
    pub from: SocketAddr,
    pub to: Option<IpAddr>,
    pub marks: Marks,
    bytes: &'a [u8],
    stride: usize,
}

impl<'a> Train<'a> {
    /// One at least.
    pub fn count(&self) -> usize {
        self.bytes.len().div_ceil(self.stride).max(1)
    }

    pub fn datagrams(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let empty = self.bytes.is_empty().then_some(self.bytes);
        self.bytes.chunks(self.stride).chain(empty)
    }
}

/// One received datagram.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    pub from: SocketAddr,
    /// The address it was sent to, as the packet said.
    pub to: Option<IpAddr>,
    pub marks: Marks,
    pub bytes: &'a [u8],
}

impl Datagram<'_> {
    /// The address of ours it was sent to, by which an answer must leave. `None` when no answer can leave by it:
    /// a group or broadcast address, or none at all.
    pub fn contacted(&self, bound: SocketAddr) -> Option<SocketAddr> {
        let ip = self.to.unwrap_or(bound.ip());
        let broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
        let ours = !ip.is_unspecified() && !ip.is_multicast() && !broadcast;
        ours.then_some(SocketAddr::new(ip, bound.port()))
    }
}

pub struct Batch {
    memory: Vec<u8>,
    envelopes: Envelopes,
    metas: [Meta; BATCH],
    filled: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Batch {
            memory: vec![0; BUFFER * BATCH],
            envelopes: Envelopes::default(),
            metas: [Meta::default(); BATCH],
            filled: 0,
        }
    }
}

impl Batch {
    /// Receives by `receive(envelopes, buffers, metas)`, which says how many buffers it filled.
    pub fn fill(
        &mut self,
        receive: impl FnOnce(&mut Envelopes, &mut [IoSliceMut<'_>], &mut [Meta]) -> io::Result<usize>,
    ) -> io::Result<()> {
        self.filled = 0;
        let mut chunks = self.memory.chunks_exact_mut(BUFFER);
        let mut buffers: [IoSliceMut<'_>; BATCH] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        self.filled = receive(&mut self.envelopes, &mut buffers, &mut self.metas)?;
        Ok(())
    }

    /// Whether the last `fill` left no buffer empty.
    pub fn is_full(&self) -> bool {
        self.filled == BATCH
    }

    /// Everything received by the last `fill`, in order.
    pub fn trains(&self) -> impl Iterator<Item = Train<'_>> {
        let received = self.metas[..self.filled].iter();
        let buffers = self.memory.chunks_exact(BUFFER);
        received.zip(buffers).map(|(meta, buffer)| Train {
            from: meta.from,
            to: meta.to,
            marks: meta.marks,
            bytes: &buffer[..meta.length],
            stride: meta.stride.max(1),
        })
    }

    /// Every datagram received by the last `fill`, in order.
    pub fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> {
        self.trains().flat_map(|train| {
            train.datagrams().map(move |bytes| Datagram {
                from: train.from,
                to: train.to,
                marks: train.marks,
                bytes,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_train_is_taken_apart_and_an_empty_datagram_is_kept() {
        let mut batch = Batch::default();
        let receive = |_: &mut Envelopes, buffers: &mut [IoSliceMut<'_>], metas: &mut [Meta]| {
            buffers[0][..5].copy_from_slice(b"aabbc");
            (metas[0].length, metas[0].stride) = (5, 2);
            (metas[1].length, metas[1].stride) = (0, 0);
            Ok(2)
        };
        batch.fill(receive).expect("filled");
        let got: Vec<&[u8]> = batch.datagrams().map(|d| d.bytes).collect();
        assert_eq!(got, [b"aa".as_slice(), b"bb", b"c", b""]);
        let lengths: Vec<usize> = batch.trains().map(|train| train.count()).collect();
        assert_eq!(lengths, [3, 1]);
    }

    #[test]
    fn the_contacted_address_is_the_packets_never_a_wildcard_or_group() {
        let contacted = |to: Option<&str>, bound: &str| {
            let datagram = Datagram {
                from: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 1),
                to: to.map(|to| to.parse().expect("an address")),
                marks: Marks::default(),
                bytes: &[],
            };
            let contacted = datagram.contacted(bound.parse().expect("an address"));
            contacted.map(|contacted| contacted.to_string())
        };
        assert_eq!(
            contacted(Some("192.0.2.1"), "0.0.0.0:7").as_deref(),
            Some("192.0.2.1:7")
        );
        assert_eq!(
            contacted(None, "[2001:db8::1]:7").as_deref(),
            Some("[2001:db8::1]:7")
        );
        for nobody in [None, Some("224.0.0.1"), Some("255.255.255.255")] {
            assert_eq!(contacted(nobody, "0.0.0.0:7"), None);
        }
    }

    #[test]
    fn a_failed_receive_leaves_no_old_datagram() {
        let mut batch = Batch::default();
        batch
            .fill(|_, _, metas| {
                (metas[0].length, metas[0].stride) = (1, 1);
                Ok(1)
            })
            .expect("filled");
        batch
            .fill(|_, _, _| Err(io::ErrorKind::WouldBlock.into()))
            .expect_err("nothing there");
        assert_eq!(batch.datagrams().count(), 0);
    }
}
