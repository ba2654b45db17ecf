//! Socket options for which no safe wrapper is at hand. Panics where a test would.

use std::net::UdpSocket;
use std::os::fd::AsRawFd;

pub fn set_option(socket: &UdpSocket, level: i32, name: i32, value: &[u8]) {
    // SAFETY: an open socket, and a buffer with its length.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            value.as_ptr().cast(),
            value.len() as u32,
        )
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// Sets the don't-fragment bit on everything, and refuses what the path does not take.
pub fn never_fragment(socket: &UdpSocket) {
    let v6 = socket.local_addr().is_ok_and(|local| local.is_ipv6());
    let (level, name, mode) = match v6 {
        true => (
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_DO,
        ),
        false => (
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            libc::IP_PMTUDISC_DO,
        ),
    };
    set_option(socket, level, name, &mode.to_ne_bytes());
}
