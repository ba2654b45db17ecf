//! The data path's program on a real card: frames go in and come out through the other ends of veth pairs.

use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use aya::programs::XdpMode;
use relay_common::Counter;
use relay_common::engine::Verdict;
use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};

use crate::engine::{MemoryTables, Outcome};
use crate::eventually::within;
use crate::kernel::KernelEngine;
use crate::netns::NetNs;
use crate::topology::attach;

/// Two cards in a namespace with the program on the first, and what is at their other ends.
pub struct WireEngine {
    kernel: KernelEngine,
    /// Where frames are sent, and where transmitted and redirected ones arrive.
    near: Socket,
    far: Socket,
    _namespaces: (NetNs, NetNs),
    _pass: [aya::Ebpf; 3],
}

/// Long enough for a frame to cross a veth; spent in full only where nothing may arrive.
const CROSSING: Duration = Duration::from_millis(20);

impl WireEngine {
    /// `tables` gets the interface index of the first card and returns the tables to load.
    pub fn new(
        object: &[u8],
        mode: XdpMode,
        tables: impl FnOnce(u32) -> MemoryTables,
    ) -> Result<Self> {
        let (outer, inner) = (NetNs::new("wire")?, NetNs::new("dut")?);
        for (a, b) in [("near", "card0"), ("far", "card1")] {
            outer.ip(&[
                "link",
                "add",
                a,
                "type",
                "veth",
                "peer",
                "name",
                b,
                "netns",
                inner.name(),
            ])?;
            for (namespace, card) in [(&outer, a), (&inner, b)] {
                // Nobody may speak on these links but the test.
                namespace.run(
                    "sh",
                    &[
                        "-c",
                        &format!("echo 1 > /proc/sys/net/ipv6/conf/{card}/disable_ipv6"),
                    ],
                )?;
                namespace.ip(&["link", "set", card, "arp", "off", "up"])?;
            }
        }
        let index = |card: &str| -> Result<u32> {
            Ok(inner
                .run("cat", &[&format!("/sys/class/net/{card}/ifindex")])?
                .trim()
                .parse()?)
        };
        let (card0, card1) = (index("card0")?, index("card1")?);
        let pass = [
            attach(&outer, "near", "pass")?,
            attach(&outer, "far", "pass")?,
            attach(&inner, "card1", "pass")?,
        ];
        let mut kernel = KernelEngine::new(object, &tables(card0))?;
        inner.enter(|| {
            kernel.set_card(1, card1)?;
            kernel
                .program()?
                .attach("card0", mode)
                .context("attach to card0")?;
            Ok(())
        })?;
        let (near, far) = outer.enter(|| Ok((tapping_socket("near")?, tapping_socket("far")?)))?;
        Ok(Self {
            kernel,
            near,
            far,
            _namespaces: (outer, inner),
            _pass: pass,
        })
    }

    /// Sends one frame and waits for what becomes of it.
    pub fn run(&mut self, frame: &[u8]) -> Result<Outcome> {
        while receive(&self.near).is_some() || receive(&self.far).is_some() {}
        let before = self.kernel.snapshot()?;
        self.near.send(frame).context("send the frame")?;
        let mut arrived = None;
        let moved = within(Duration::from_secs(5), "a counter moves", || {
            let moved = self.kernel.moved_since(&before).ok()?;
            (!moved.0.is_empty()).then_some(moved)
        })?;
        let end = Instant::now() + CROSSING;
        while arrived.is_none() && Instant::now() < end {
            let near = receive(&self.near).map(|f| (Verdict::Transmit, f));
            arrived = near.or_else(|| receive(&self.far).map(|f| (Verdict::Redirect(1), f)));
        }
        // What does not arrive was passed up, unless its counter says that it was dropped.
        let dropped = moved.0.iter().any(|(c, _)| *c == Counter::RateLimited);
        let stayed = if dropped {
            Verdict::Drop
        } else {
            Verdict::Pass
        };
        let (verdict, frame) = arrived.unwrap_or_else(|| (stayed, frame.to_vec()));
        Ok(Outcome {
            verdict,
            frame,
            counters: moved.0,
            charged: moved.1,
            refused: moved.2,
        })
    }
}

/// Sends whole frames out of a card of this namespace and receives nothing.
pub fn sending_socket(card: &str) -> Result<Socket> {
    bound_socket(card, 0)
}

fn bound_socket(card: &str, protocol: u16) -> Result<Socket> {
    let socket = Socket::new(
        Domain::PACKET,
        Type::RAW,
        Some(Protocol::from(i32::from(protocol.to_be()))),
    )?;
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: protocol.to_be(),
        sll_ifindex: nix::net::if_::if_nametoindex(card)? as i32,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: a sockaddr_ll fits a sockaddr_storage and both are plain bytes.
    let address = unsafe {
        *storage.view_as::<libc::sockaddr_ll>() = address;
        SockAddr::new(storage, size_of::<libc::sockaddr_ll>() as u32)
    };
    socket.bind(&address)?;
    Ok(socket)
}

/// Sends whole frames out of a card of this namespace, and receives, without waiting, those that come to it.
pub fn tapping_socket(card: &str) -> Result<Socket> {
    let socket = bound_socket(card, libc::ETH_P_ALL as u16)?;
    // Not our own frames on their way out.
    socket.set_nonblocking(true)?;
    let one: libc::c_int = 1;
    let option = |name, value: &libc::c_int| {
        // SAFETY: an open socket, and a pointer to an int with its size.
        unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_PACKET,
                name,
                std::ptr::from_ref(value).cast(),
                4,
            )
        }
    };
    anyhow::ensure!(
        option(libc::PACKET_IGNORE_OUTGOING, &one) == 0,
        "PACKET_IGNORE_OUTGOING"
    );
    anyhow::ensure!(option(libc::PACKET_AUXDATA, &one) == 0, "PACKET_AUXDATA");
    Ok(socket)
}

/// The next frame, with the VLAN tag put back that the host has taken off into the message's auxiliary data.
fn receive(socket: &Socket) -> Option<Vec<u8>> {
    let mut buffer = vec![0u8; 4096];
    let mut control = [0u64; 16];
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: a C struct for which all zeros are valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    // SAFETY: an open socket; every pointer in the message is to a live buffer of the length given with it.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
    buffer.truncate(usize::try_from(length).ok()?);
    // SAFETY: the kernel filled the control buffer, which is aligned for its headers and still alive.
    let tag = unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        if header.is_null() || (*header).cmsg_type != libc::PACKET_AUXDATA {
            None
        } else {
            let data = libc::CMSG_DATA(header)
                .cast::<libc::tpacket_auxdata>()
                .read_unaligned();
            (data.tp_status & libc::TP_STATUS_VLAN_VALID != 0)
                .then_some((data.tp_vlan_tpid, data.tp_vlan_tci))
        }
    };
    if let Some((protocol, tci)) = tag {
        let bytes = protocol.to_be_bytes().into_iter().chain(tci.to_be_bytes());
        buffer.splice(12..12, bytes);
    }
    Some(buffer)
}
