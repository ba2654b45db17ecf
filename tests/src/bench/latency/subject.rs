//! What is between the two sockets of `bench latency`. Measures nothing.

use std::net::{SocketAddr, UdpSocket};
use std::process::Child;
use std::sync::Arc;

use anyhow::{Result, bail, ensure};

use super::super::relay::{self, Wanted};
use super::super::veth::subject::{CHANNEL, USER, start_coturn};
use super::super::veth::{Lab, OUTER, OUTER_CARD, RELAY, mac};
use crate::client::TurnClient;
use crate::eventually::eventually;
use crate::home::Home;
use crate::netns::NetNs;
use crate::packet::{Checksum, Udp, channel_data, udp};
use crate::relay::Relay;
use crate::topology::attach;

/// Everything there is, in the order of a round.
pub const ALL: [&str; 6] = [
    "direct",
    "reflector",
    "relay",
    "nftables",
    "coturn",
    "relay_userspace",
];

/// A running subject.
pub struct Subject<'l> {
    /// What goes in; the last bytes are the payload.
    pub frame: Vec<u8>,
    /// Where it comes out; does not wait.
    pub receiver: UdpSocket,
    _running: Running<'l>,
}

enum Running<'l> {
    Program(#[expect(dead_code, reason = "attached while it lives")] aya::Ebpf),
    Relay(
        #[expect(dead_code, reason = "runs while it lives")] Relay,
        #[expect(dead_code, reason = "holds its port")] TurnClient,
    ),
    Coturn {
        child: Child,
        _pass: aya::Ebpf,
        _client: TurnClient,
    },
    Nftables(&'l NetNs),
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        match self {
            Self::Coturn { child, .. } => {
                let _ = child.kill();
                let _ = child.wait();
            }
            Self::Nftables(inner) => {
                let _ = inner.run("nft", &["flush", "ruleset"]);
            }
            _ => {}
        }
    }
}

/// Port of the reflector's packets, of the direct ones and of the forward.
const PORT: u16 = 18_000;

impl<'l> Subject<'l> {
    pub fn start(name: &str, lab: &'l Lab, payload: usize) -> Result<Self> {
        let outer = || lab.outer.enter(|| Ok(UdpSocket::bind((OUTER, 0))?));
        let data = vec![0x55; payload];
        let from = SocketAddr::new(OUTER.parse()?, PORT);
        let relay_port = |port| SocketAddr::new(RELAY.parse().expect("an address"), port);
        let (receiver, packet, running) = match name {
            "direct" => {
                let receiver = lab.inner.enter(|| Ok(UdpSocket::bind((RELAY, 0))?))?;
                let to = receiver.local_addr()?;
                let pass = attach(&lab.inner, &lab.card, "pass")?;
                (receiver, udp(from, to, &data), Running::Program(pass))
            }
            "reflector" => {
                let receiver = outer()?;
                // From an address that is not the receiver's own, or its host would take it for forged.
                let from = relay_port(PORT);
                let packet = udp(from, receiver.local_addr()?, &data);
                let program = attach(&lab.inner, &lab.card, "reflect")?;
                (receiver, packet, Running::Program(program))
            }
            "nftables" => {
                let receiver = outer()?;
                let to = receiver.local_addr()?;
                let running = nftables(&lab.inner, to)?;
                // Another port each time: connection tracking still knows the last one, and where it went.
                (receiver, udp(to, relay_port(PORT), &data), running)
            }
            "relay" | "relay_userspace" | "coturn" => {
                let receiver = outer()?;
                let peer = receiver.local_addr()?;
                let (running, client) = turn(name, lab, peer)?;
                let framed = channel_data(CHANNEL, &data, 0);
                (receiver, udp(client, relay_port(3478), &framed), running)
            }
            other => bail!("no subject {other}"),
        };
        receiver.set_nonblocking(true)?;
        let frame = Udp {
            macs: (mac(&lab.inner, &lab.card)?, mac(&lab.outer, OUTER_CARD)?),
            // Every packet has another payload.
            checksum: Checksum::Zero,
            ..packet
        };
        Ok(Self {
            frame: frame.bytes(),
            receiver,
            _running: running,
        })
    }
}

/// A TURN server with a channel to `peer`, and the address of its client.
fn turn<'l>(name: &str, lab: &'l Lab, peer: SocketAddr) -> Result<(Running<'l>, SocketAddr)> {
    let client = || {
        lab.outer.enter(|| {
            let socket = UdpSocket::bind((OUTER, 0))?;
            let server = SocketAddr::new(RELAY.parse()?, 3478);
            let mut client = TurnClient::allocate(socket, server, USER.0, USER.1)?;
            client.bind(CHANNEL, peer)?;
            Ok(client)
        })
    };
    if name == "coturn" {
        let pass = attach(&lab.inner, &lab.card, "pass")?;
        let child = start_coturn(&lab.inner)?;
        let client = client()?;
        let address = client.socket.local_addr()?;
        let running = Running::Coturn {
            child,
            _pass: pass,
            _client: client,
        };
        return Ok((running, address));
    }
    let xdp = if name == "relay" { "native" } else { "off" };
    let wanted = Wanted {
        arguments: &["--xdp", xdp],
        ..Wanted::default()
    };
    let home = Arc::new(Home::new()?);
    let relay = relay::start(home, &lab.inner, &lab.card, &wanted)?;
    relay::pin(relay.pid(), 1)?;
    let client = client()?;
    if name == "relay" {
        eventually("the session runs in the kernel", || {
            relay.status().is_ok_and(|s| s.kernel_sessions == 1)
        })?;
    }
    let address = client.socket.local_addr()?;
    Ok((Running::Relay(relay, client), address))
}

/// What an operator without a relay would write: destination and source translated.
fn nftables<'l>(inner: &'l NetNs, to: SocketAddr) -> Result<Running<'l>> {
    ensure!(to.is_ipv4(), "IPv4 only");
    // In a namespace of its own, gone with it.
    for setting in ["ip_forward=1", "conf.all.send_redirects=0"] {
        let (name, value) = setting.split_once('=').unwrap_or((setting, "1"));
        let path = format!("/proc/sys/net/ipv4/{}", name.replace('.', "/"));
        inner.run("sh", &["-c", &format!("echo {value} > {path}")])?;
    }
    let rules = format!(
        "table ip bench {{
            chain in {{ type nat hook prerouting priority dstnat; udp dport {PORT} dnat to {to}; }}
            chain out {{ type nat hook postrouting priority srcnat; ip daddr {OUTER} snat to {RELAY}; }}
        }}"
    );
    let running = Running::Nftables(inner);
    inner.run("nft", &[&rules])?;
    Ok(running)
}
