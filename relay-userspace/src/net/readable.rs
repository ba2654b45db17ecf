//! A UDP socket the runtime watches for what arrives, and for nothing else. Its own kind of socket watches for room to
//! send as well, which nobody here waits for: the kernel would wake the worker once for every datagram it sent.

use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Every call on it says by itself that it does not wait.
#[derive(Debug)]
pub struct Readable(AsyncFd<UdpSocket>);

impl Readable {
    /// Inside a runtime.
    pub fn new(socket: UdpSocket) -> io::Result<Self> {
        // SAFETY: the descriptor is the socket's own: it is open as long as the socket lives, which `AsyncFd` drops
        // after it has taken it out of the runtime.
        let watched = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
        Ok(Self(watched?))
    }

    /// Waits for datagrams or errors; true if there may be errors.
    pub async fn ready(&self) -> io::Result<bool> {
        let ready = self.0.ready(Interest::READABLE | Interest::ERROR).await?;
        Ok(ready.ready().is_error())
    }

    /// Calls `act` if `interest` may be met. `WouldBlock` from either: it is not, until there is news.
    pub fn try_io<T>(
        &self,
        interest: Interest,
        act: impl FnOnce(&UdpSocket) -> io::Result<T>,
    ) -> io::Result<T> {
        self.0.try_io(interest, act)
    }

    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.get_ref().take_error()
    }
}

impl AsFd for Readable {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}

impl AsRawFd for Readable {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
