//! `recvmmsg` and `sendmsg` with everything an IP header says: libraries keep of it at most ECN. Decides nothing.

pub(crate) mod control;

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};

use nix::sys::socket::{setsockopt, sockopt};

use control::Control;
pub use control::Said;

use super::marks::Marks;

/// Datagrams, or trains of them, received by one call.
pub const BATCH: usize = 32;

/// What is known of a datagram, or of a train of datagrams, that was received.
#[derive(Debug, Clone, Copy)]
pub struct Meta {
    pub from: SocketAddr,
    pub to: Option<IpAddr>,
    pub marks: Marks,
    pub length: usize,
    /// Of each datagram of the train but the last, which may be shorter.
    pub stride: usize,
}

impl Default for Meta {
    fn default() -> Self {
        Meta {
            from: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
            to: None,
            marks: Marks::default(),
            length: 0,
            stride: 0,
        }
    }
}

/// Where the kernel writes who sent what. Reused for every call.
#[derive(Default)]
pub struct Envelopes {
    names: [Name; BATCH],
    controls: [Control; BATCH],
}

/// As large as `sockaddr_in6`, the longer one.
#[derive(Clone, Copy, Default)]
#[repr(C, align(8))]
struct Name {
    bytes: [u8; 28],
}

/// Has the kernel say all that [`Meta`] holds; `to` only of a socket on a wildcard, where it is not known anyway.
pub fn enable(socket: &impl AsFd, local: SocketAddr) -> nix::Result<()> {
    let on_any = local.ip().is_unspecified();
    if local.is_ipv6() {
        setsockopt(socket, sockopt::Ipv6RecvTClass, &true)?;
        setsockopt(socket, sockopt::Ipv6RecvHopLimit, &true)?;
        if on_any {
            setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        }
    } else {
        setsockopt(socket, sockopt::IpRecvTos, &true)?;
        setsockopt(socket, sockopt::Ipv4RecvTtl, &true)?;
        if on_any {
            setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
        }
    }
    // Without it trains come apart.
    let _ = setsockopt(socket, sockopt::UdpGroSegment, &true);
    Ok(())
}

impl Envelopes {
    /// Fills `buffers` and `metas` alike, without waiting. Returns how many.
    pub fn receive(
        &mut self,
        socket: &impl AsRawFd,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [Meta],
    ) -> io::Result<usize> {
        let count = buffers.len().min(metas.len()).min(BATCH);
        // SAFETY: null pointers and lengths of zero are what an empty header holds.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        for i in 0..count {
            let header = &mut headers[i].msg_hdr;
            header.msg_name = (&raw mut self.names[i]).cast();
            header.msg_namelen = size_of::<Name>() as libc::socklen_t;
            // `IoSliceMut` is an `iovec`, as its documentation promises.
            header.msg_iov = (&raw mut buffers[i]).cast();
            header.msg_iovlen = 1;
            header.msg_control = (&raw mut self.controls[i]).cast();
            header.msg_controllen = size_of::<Control>() as _;
        }
        let received = uninterrupted(|| {
            // SAFETY: `count` headers were filled in, and what they point to is borrowed mutably until this returns,
            // with the lengths they say. No timeout is given.
            unsafe {
                libc::recvmmsg(
                    socket.as_raw_fd(),
                    headers.as_mut_ptr(),
                    count as libc::c_uint,
                    libc::MSG_DONTWAIT,
                    std::ptr::null_mut(),
                ) as isize
            }
        })?;
        for i in 0..received {
            let header = &headers[i];
            let heard = self.controls[i].heard(header.msg_hdr.msg_controllen as usize);
            let length = header.msg_len as usize;
            metas[i] = Meta {
                from: self.names[i].address().unwrap_or(Meta::default().from),
                to: heard.to,
                marks: heard.marks,
                length,
                stride: heard.segment.unwrap_or(length),
            };
        }
        Ok(received)
    }
}

/// Sends one datagram, or a train of them, without waiting.
pub fn send(socket: &impl AsRawFd, to: SocketAddr, said: &Said, bytes: &[u8]) -> io::Result<()> {
    let mut control = Control::default();
    let length = control.say(said, to.is_ipv6());
    let to = socket2::SockAddr::from(to);
    let mut content = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: null pointers and lengths of zero are what an empty header holds.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = to.as_ptr().cast_mut().cast();
    header.msg_namelen = to.len();
    header.msg_iov = &raw mut content;
    header.msg_iovlen = 1;
    header.msg_control = (&raw mut control).cast();
    header.msg_controllen = length as _;
    uninterrupted(|| {
        // SAFETY: everything the header points to lives in this frame or is borrowed by it, with the lengths it says;
        // sendmsg only reads, so the constness cast away is kept.
        unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_DONTWAIT) }
    })
    .map(drop)
}

impl Name {
    fn address(&self) -> Option<SocketAddr> {
        let bytes = &self.bytes;
        let family = u16::from_ne_bytes([bytes[0], bytes[1]]);
        let port = u16::from_be_bytes([bytes[2], bytes[3]]);
        match libc::c_int::from(family) {
            libc::AF_INET => {
                let octets = *bytes[4..].first_chunk::<4>()?;
                Some(SocketAddr::new(octets.into(), port))
            }
            libc::AF_INET6 => {
                let octets = *bytes[8..].first_chunk::<16>()?;
                let scope = u32::from_ne_bytes(*bytes[24..].first_chunk()?);
                let address = SocketAddrV6::new(Ipv6Addr::from(octets), port, 0, scope);
                Some(address.into())
            }
            _ => None,
        }
    }
}

fn uninterrupted(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        if let Ok(done) = usize::try_from(call()) {
            return Ok(done);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goes_over(host: &str, listens: &str) {
        let open = |host: &str| std::net::UdpSocket::bind((host, 0)).expect("a socket");
        let (sender, receiver) = (open(host), open(listens));
        let local = receiver.local_addr().expect("bound");
        let to = SocketAddr::new(host.parse().expect("an address"), local.port());
        enable(&receiver, local).expect("it says everything");
        let marks = Marks {
            traffic_class: 0xb8,
            hop_limit: Some(7),
        };
        let said = Said {
            from: None,
            marks,
            segment: Some(100),
        };
        send(&sender, to, &said, &[1; 250]).expect("sent");
        let mut memory = [[0; 1000]; 4];
        let mut buffers = memory.each_mut().map(|one| IoSliceMut::new(one));
        let mut metas = [Meta::default(); 4];
        let mut total = 0;
        while total < 250 {
            let mut envelopes = Envelopes::default();
            let count = envelopes.receive(&receiver, &mut buffers, &mut metas);
            for meta in &metas[..count.expect("received")] {
                assert_eq!(meta.from, sender.local_addr().expect("bound"));
                let unknown = local.ip().is_unspecified();
                assert_eq!((meta.to, meta.marks), (unknown.then_some(to.ip()), marks));
                assert_eq!(meta.stride, meta.length.min(100));
                total += meta.length;
            }
        }
        assert_eq!(memory[0][0], 1);
    }

    #[test]
    fn marks_and_trains_go_over_in_both_families() {
        goes_over("127.0.0.1", "127.0.0.1");
        goes_over("127.0.0.1", "0.0.0.0");
        goes_over("::1", "::1");
        goes_over("::1", "::");
    }
}
