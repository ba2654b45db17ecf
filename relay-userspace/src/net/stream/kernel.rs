//! What the kernel knows of a TCP connection: how much it holds, and how fast that goes. Changes nothing but the size of
//! its buffer.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;

use crate::stream::flight::Reading;

/// `struct tcp_info` as far as Linux 4.6 has it.
const LENGTH: usize = 152;
const BYTES_ACKED: usize = 120;
const MIN_RTT: usize = 148;

/// Bytes written and not acknowledged.
pub fn held(tcp: &impl AsRawFd) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: an open socket, and a pointer to an int that lives here.
    let done = unsafe { libc::ioctl(tcp.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    match done {
        0 => usize::try_from(bytes).unwrap_or_default(),
        _ => 0,
    }
}

pub fn read(tcp: &impl AsRawFd) -> io::Result<Reading> {
    let mut info = [0u8; LENGTH];
    let mut length = LENGTH as libc::socklen_t;
    // SAFETY: an open socket, and a buffer with its length, of which the kernel fills no more.
    let done = unsafe {
        libc::getsockopt(
            tcp.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if done != 0 || length as usize != LENGTH {
        return Err(io::Error::last_os_error());
    }
    let acknowledged = info[BYTES_ACKED..].first_chunk().copied();
    let microseconds = info[MIN_RTT..].first_chunk().copied();
    let microseconds = u32::from_ne_bytes(microseconds.unwrap_or_default());
    Ok(Reading {
        acknowledged: u64::from_ne_bytes(acknowledged.unwrap_or_default()),
        // All ones before the first.
        shortest_round_trip: match microseconds {
            u32::MAX => Duration::ZERO,
            microseconds => Duration::from_micros(microseconds.into()),
        },
    })
}

/// From now on it takes `bytes`. It doubles what it is told, which is what single datagrams cost it; those that came
/// together cost less, and more of them fit.
pub fn allow(tcp: &TcpStream, bytes: usize) {
    // A size it does not take is no fault: then it holds less.
    let _ = SockRef::from(tcp).set_send_buffer_size(bytes);
}
