//! The memory datagrams are received into: one per worker, reused for every socket, never grown.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};

use quinn_udp::{BATCH_SIZE, EcnCodepoint, RecvMeta};

/// The largest datagram, and the largest train of datagrams GRO hands over as one.
const BUFFER: usize = 1 << 16;

/// One received datagram.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    pub from: SocketAddr,
    /// The address it was sent to, as the packet said.
    pub to: Option<IpAddr>,
    pub ecn: Option<EcnCodepoint>,
    pub bytes: &'a [u8],
}

pub struct Batch {
    memory: Vec<u8>,
    metas: [RecvMeta; BATCH_SIZE],
    filled: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Batch {
            memory: vec![0; BUFFER * BATCH_SIZE],
            metas: [RecvMeta::default(); BATCH_SIZE],
            filled: 0,
        }
    }
}

impl Batch {
    /// Receives by `receive(buffers, metas)`, which says how many buffers it filled.
    pub fn fill(
        &mut self,
        receive: impl FnOnce(&mut [IoSliceMut<'_>], &mut [RecvMeta]) -> io::Result<usize>,
    ) -> io::Result<()> {
        self.filled = 0;
        let mut chunks = self.memory.chunks_exact_mut(BUFFER);
        let mut buffers: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        self.filled = receive(&mut buffers, &mut self.metas)?;
        Ok(())
    }

    /// Every datagram received by the last `fill`, in order.
    pub fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> {
        self.metas[..self.filled]
            .iter()
            .zip(self.memory.chunks_exact(BUFFER))
            .flat_map(|(meta, buffer)| {
                let train = &buffer[..meta.len];
                let empty = train.is_empty().then_some(train);
                let pieces = train.chunks(meta.stride.max(1));
                pieces.chain(empty).map(|bytes| Datagram {
                    from: meta.addr,
                    to: meta.dst_ip,
                    ecn: meta.ecn,
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
        let receive = |buffers: &mut [IoSliceMut<'_>], metas: &mut [RecvMeta]| {
            buffers[0][..5].copy_from_slice(b"aabbc");
            (metas[0].len, metas[0].stride) = (5, 2);
            (metas[1].len, metas[1].stride) = (0, 0);
            Ok(2)
        };
        batch.fill(receive).expect("filled");
        let got: Vec<&[u8]> = batch.datagrams().map(|d| d.bytes).collect();
        assert_eq!(got, [b"aa".as_slice(), b"bb", b"c", b""]);
    }

    #[test]
    fn a_failed_receive_leaves_no_old_datagram() {
        let mut batch = Batch::default();
        batch
            .fill(|_, metas| {
                (metas[0].len, metas[0].stride) = (1, 1);
                Ok(1)
            })
            .expect("filled");
        batch
            .fill(|_, _| Err(io::ErrorKind::WouldBlock.into()))
            .expect_err("nothing there");
        assert_eq!(batch.datagrams().count(), 0);
    }
}
