//! The error queue of a socket, read: what routers and hosts answered to what it sent, in userspace or in the kernel path.
//! A bounded batch at a time, into memory that is reused.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrStorage, recvmsg, sockopt,
};

use crate::icmp::IcmpError;

/// Reports taken at a time: the datagrams of the worker's other sockets wait meanwhile.
const BATCH: usize = 64;

/// One error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Where the datagram went.
    pub about: SocketAddr,
    pub error: IcmpError,
    /// Who says so; `None`: this host, before it was sent.
    pub from: Option<IpAddr>,
}

/// The reports last read.
#[derive(Default)]
pub struct Reports {
    list: Vec<Report>,
    control: Vec<u8>,
}

impl Reports {
    pub fn iter(&self) -> impl Iterator<Item = &Report> {
        self.list.iter()
    }

    /// Reads what is queued, at most a batch. `WouldBlock`: that was all of it. `too_big_for` is where the last datagram
    /// should have gone that was refused for its size: of those the kernel tells address and MTU, but no port.
    pub fn fill(
        &mut self,
        socket: &impl AsRawFd,
        too_big_for: Option<SocketAddr>,
    ) -> io::Result<()> {
        self.list.clear();
        if self.control.is_empty() {
            self.control = nix::cmsg_space!(libc::sock_extended_err, SockaddrStorage, [u8; 128]);
        }
        for _ in 0..BATCH {
            let report = match read(socket, &mut self.control) {
                Err(Errno::EINTR) => continue,
                report => report?,
            };
            let refused = |report: &Report| {
                let about = too_big_for.filter(|to| to.ip() == report.about.ip());
                about.filter(|_| report.from.is_none() && report.about.port() == 0)
            };
            self.list.extend(report.map(|report| Report {
                about: refused(&report).unwrap_or(report.about),
                ..report
            }));
        }
        Ok(())
    }
}

/// Has ICMP errors queued, from now on.
pub fn enable(socket: &impl AsFd, v6: bool) -> nix::Result<()> {
    match v6 {
        true => nix::sys::socket::setsockopt(socket, sockopt::Ipv6RecvErr, &true),
        false => nix::sys::socket::setsockopt(socket, sockopt::Ipv4RecvErr, &true),
    }
}

/// `None`: something else than an ICMP error.
fn read(socket: &impl AsRawFd, control: &mut [u8]) -> nix::Result<Option<Report>> {
    // Of the datagram itself nothing is wanted.
    let mut payload = [0; 1];
    let mut buffers = [IoSliceMut::new(&mut payload)];
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message =
        recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut buffers, Some(control), flags)?;
    let about = message.address.as_ref().and_then(socket_address);
    let mut report = None;
    for control in message.cmsgs()? {
        let (error, from) = match control {
            ControlMessageOwned::Ipv4RecvErr(error, from) => {
                (error, from.map(|from| SockaddrIn::from(from).ip().into()))
            }
            ControlMessageOwned::Ipv6RecvErr(error, from) => {
                (error, from.map(|from| SockaddrIn6::from(from).ip().into()))
            }
            _ => continue,
        };
        report = about.and_then(|about| report_of(about, &error, from));
    }
    Ok(report)
}

fn report_of(
    about: SocketAddr,
    error: &libc::sock_extended_err,
    from: Option<IpAddr>,
) -> Option<Report> {
    let too_big = if about.is_ipv6() { (2, 0) } else { (3, 4) };
    let (kind, code, from) = match error.ee_origin {
        libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6 => (error.ee_type, error.ee_code, from),
        // It must not be fragmented and does not fit our own link.
        libc::SO_EE_ORIGIN_LOCAL if error.ee_errno == libc::EMSGSIZE as u32 => {
            (too_big.0, too_big.1, None)
        }
        _ => return None,
    };
    let mtu = error.ee_info;
    let error = IcmpError { kind, code, mtu };
    Some(Report { about, error, from })
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address
        .as_sockaddr_in()
        .map(|v4| SocketAddr::new(v4.ip().into(), v4.port()));
    v4.or_else(|| {
        let v6 = address.as_sockaddr_in6()?;
        Some(SocketAddr::new(v6.ip().into(), v6.port()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(host: &str) -> Vec<Report> {
        let open = || std::net::UdpSocket::bind((host, 0)).expect("a socket");
        let (socket, gone) = (open(), open().local_addr().expect("bound"));
        let v6 = gone.is_ipv6();
        enable(&socket, v6).expect("queued from now on");
        for _ in 0..3 {
            // A report that waits makes the next call fail, once.
            let _ = socket.send_to(b"anyone?", gone);
        }
        let mut reports = Reports::default();
        let all = reports
            .fill(&socket, None)
            .expect_err("no more than a batch");
        assert_eq!(all.kind(), io::ErrorKind::WouldBlock);
        let code = if v6 { (1, 4) } else { (3, 3) };
        for report in reports.iter() {
            assert_eq!((report.error.kind, report.error.code), code);
            assert_eq!((report.about, report.from), (gone, Some(gone.ip())));
        }
        reports.list
    }

    #[test]
    fn a_closed_port_answers_and_the_answer_names_it() {
        assert!(!closed("127.0.0.1").is_empty());
        assert!(!closed("::1").is_empty());
    }
}
