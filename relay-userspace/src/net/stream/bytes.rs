//! Bytes between a socket and a connection's queue, as they are or by way of TLS. Never waits.

use std::io::{self, Read, Write};

use rustls::ServerConnection;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::stream::queue::Queue;

/// As many records as one call writes.
const LARGEST_BURST: usize = 64 << 10;
/// One call takes no more, and a slow link never so much.
const LARGEST_WRITE: usize = 1 << 20;
/// Two segments.
const TIGHT_WRITE: usize = 2 * 1448;

pub fn write_plain(sink: &mut Sink<'_>, queue: &mut Queue) -> io::Result<()> {
    while !queue.is_empty() {
        let written = sink.write_vectored(&queue.slices(sink.most()))?;
        queue.advance(written);
    }
    Ok(())
}

pub fn write_tls(
    sink: &mut Sink<'_>,
    tls: &mut ServerConnection,
    queue: &mut Queue,
    burst: &mut usize,
) -> io::Result<()> {
    loop {
        while tls.wants_write() {
            tls.write_tls(sink)?;
        }
        if queue.is_empty() {
            return Ok(());
        }
        let mut given = 0;
        while given < *burst && !queue.is_empty() {
            // A record each: it can be read as soon as it is there, and some clients (turnutils_uclient) take a record
            // for a message.
            let taken = match queue.next_message() {
                (whole, []) => tls.writer().write(whole)?,
                (first, second) => {
                    let pieces = [io::IoSlice::new(first), io::IoSlice::new(second)];
                    tls.writer().write_vectored(&pieces)?
                }
            };
            queue.advance(taken);
            given += taken;
        }
        *burst = (2 * *burst).min(LARGEST_BURST);
    }
}

/// Reads once; whether there may be more.
pub fn read_tcp(tcp: &TcpStream, into: &mut [u8]) -> io::Result<(usize, bool)> {
    let mut taken = None;
    let done = tcp.try_io(Interest::READABLE, || {
        let read = (&*SockRef::from(tcp)).read(into)?;
        taken = Some(read);
        match read == into.len() || read == 0 {
            true => Ok(()),
            // Says what another call would: what comes next makes the socket readable anew.
            false => Err(io::ErrorKind::WouldBlock.into()),
        }
    });
    match taken {
        Some(read) => Ok((read, done.is_ok())),
        None => done.map(|()| (0, false)),
    }
}

/// Decrypts what is there, at least a byte of it; whether there may be more.
pub fn read_tls(
    tcp: &TcpStream,
    tls: &mut ServerConnection,
    wire: &mut [u8],
    plain: &mut [u8],
) -> io::Result<(usize, bool)> {
    // What the handshake brought along.
    let mut filled = drain(tls, plain)?;
    if filled > 0 {
        return Ok((filled, true));
    }
    loop {
        let (read, more) = read_tcp(tcp, wire)?;
        let mut rest = &wire[..read];
        while !rest.is_empty() {
            if tls.read_tls(&mut rest)? == 0 {
                return Ok((filled, more));
            }
            let state = tls.process_new_packets().map_err(io::Error::other)?;
            filled += drain(tls, &mut plain[filled..])?;
            if state.peer_has_closed() {
                return Ok((filled, more));
            }
        }
        match (read, filled, more) {
            // The beginning of a record.
            (1.., 0, false) => return Err(io::ErrorKind::WouldBlock.into()),
            (1.., 0, true) => {}
            _ => return Ok((filled, more)),
        }
    }
}

fn drain(tls: &mut ServerConnection, plain: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < plain.len() {
        match tls.reader().read(&mut plain[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The connection as a writer that never waits.
pub struct Sink<'a> {
    pub tcp: &'a TcpStream,
    /// The kernel minds the size of its buffer when it begins a packet of its own, not while it fills one up to 64 KiB: on
    /// a tight link each write is one, and small.
    pub tight: bool,
}

impl Sink<'_> {
    fn most(&self) -> usize {
        match self.tight {
            true => TIGHT_WRITE,
            false => LARGEST_WRITE,
        }
    }
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[io::IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        if !self.tight {
            return self.tcp.try_write_vectored(slices);
        }
        let mut bytes = 0;
        let fits = |slice: &&io::IoSlice<'_>| {
            let before = bytes;
            bytes += slice.len();
            before < TIGHT_WRITE
        };
        let count = slices.iter().take_while(fits).count();
        self.tcp.try_io(Interest::WRITABLE, || {
            let flags = libc::MSG_EOR | libc::MSG_NOSIGNAL;
            SockRef::from(self.tcp).send_vectored_with_flags(&slices[..count], flags)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
