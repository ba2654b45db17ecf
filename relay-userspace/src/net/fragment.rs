//! Whether datagrams of a socket may be fragmented: the one setting for which no safe wrapper is at hand.

use std::io;
use std::os::fd::AsRawFd;

/// Sets the don't-fragment bit on what the socket sends from now on, or clears it.
///
/// With it, the path decides, not our cached (and forgeable) idea of its MTU: `PROBE`, not `DO`.
/// Without it, datagrams up to 64 KiB leave in fragments. Over IPv6 by `DONT`, over IPv4 by `OMIT`: with `DONT` the kernel
/// keeps to itself that what the kernel path sent with the bit set needed fragmenting (`__udp4_lib_err`).
pub fn set_dont_fragment(socket: &impl AsRawFd, v6: bool, on: bool) -> io::Result<()> {
    if v6 {
        let mode = if on {
            libc::IPV6_PMTUDISC_PROBE
        } else {
            libc::IPV6_PMTUDISC_DONT
        };
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, mode)?;
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, on.into())
    } else {
        let mode = if on {
            libc::IP_PMTUDISC_PROBE
        } else {
            libc::IP_PMTUDISC_OMIT
        };
        set(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, mode)
    }
}

fn set(
    socket: &impl AsRawFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the descriptor is open for as long as `socket` is borrowed; the kernel reads exactly one c_int from
    // a pointer to a live c_int of this frame.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
