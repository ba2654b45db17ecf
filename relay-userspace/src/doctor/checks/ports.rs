//! Ports: who holds those the relay wants, and whether other programs are given ports of the relay's range.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use super::super::facts::{Bound, Door, Ports};
use super::Finding;

pub fn check(ports: &Ports) -> Vec<Finding> {
    let mut findings: Vec<_> = ports
        .listen
        .iter()
        .map(|(what, address)| listener(ports, what, *address))
        .collect();
    findings.extend(ports.doors.iter().map(|wanted| door(ports, wanted)));
    if let Some(range) = &ports.relay {
        findings.push(held(ports, range));
        findings.extend(
            ports
                .ephemeral
                .as_ref()
                .map(|ephemeral| shared(range, ephemeral, &ports.reserved)),
        );
    }
    findings
}

fn listener(ports: &Ports, what: &str, address: SocketAddr) -> Finding {
    let subject = format!("udp/{address}");
    let holder = ports
        .bound
        .iter()
        .find(|bound| collides(bound.address, address));
    match holder {
        None => Finding::ok("ports", subject, format!("free for {what}")),
        Some(bound) if is_ours(ports, bound) => Finding::ok(
            "ports",
            subject,
            format!("held by the running relay for {what}"),
        ),
        Some(bound) => Finding::fail(
            "ports",
            subject,
            format!("wanted for {what}, held by {}", owner(bound)),
            "stop that program (`ss -lunp` shows it), or choose another port",
        ),
    }
}

fn door(ports: &Ports, wanted: &Door) -> Finding {
    let subject = format!("{}/{}", wanted.protocol, wanted.address);
    let mut holders = ports.bound_tcp.iter();
    match holders.find(|bound| collides(bound.address, wanted.address)) {
        None => Finding::ok("ports", subject, "free for TURN"),
        Some(bound) if is_ours(ports, bound) => {
            Finding::ok("ports", subject, "held by the running relay for TURN")
        }
        Some(bound) => {
            let found = format!("wanted for TURN, held by {}", owner(bound));
            let remedy = "stop that program (`ss -ltnp` shows it), or name other ports in listen.tcp and listen.tls";
            match wanted.needed {
                true => Finding::fail("ports", subject, found, remedy),
                false => Finding::warn("ports", subject, found, remedy),
            }
        }
    }
}

fn held(ports: &Ports, range: &RangeInclusive<u16>) -> Finding {
    let subject = format!("udp/{}-{}", range.start(), range.end());
    let strangers: Vec<_> = ports
        .bound
        .iter()
        .filter(|bound| range.contains(&bound.address.port()) && !is_ours(ports, bound))
        .collect();
    let size = usize::from(range.end() - range.start()) + 1;
    match strangers.first() {
        None => Finding::ok(
            "ports",
            subject,
            format!("{size} relay ports, none held by another program"),
        ),
        Some(first) => Finding::warn(
            "ports",
            subject,
            format!(
                "{} of {size} relay ports held by other programs, such as {} by {}",
                strangers.len(),
                first.address.port(),
                owner(first)
            ),
            "harmless while few: they are skipped; or choose another relay.ports",
        ),
    }
}

/// The kernel gives ports of `ip_local_port_range` to whoever does not ask for one.
fn shared(
    range: &RangeInclusive<u16>,
    ephemeral: &RangeInclusive<u16>,
    reserved: &[RangeInclusive<u16>],
) -> Finding {
    let subject = "net.ipv4.ip_local_port_range";
    let (start, end) = (
        range.start().max(ephemeral.start()),
        range.end().min(ephemeral.end()),
    );
    if start > end {
        return Finding::ok(
            "ports",
            subject,
            format!(
                "{}-{}, apart from the relay ports",
                ephemeral.start(),
                ephemeral.end()
            ),
        );
    }
    let covered = (*start..=*end).all(|port| reserved.iter().any(|range| range.contains(&port)));
    if covered {
        return Finding::ok(
            "ports",
            subject,
            format!("{start}-{end} are shared with the relay, but reserved"),
        );
    }
    Finding::warn(
        "ports",
        subject,
        format!("other programs may be given the relay ports {start}-{end}"),
        format!("sysctl -w net.ipv4.ip_local_reserved_ports={start}-{end} (also in /etc/sysctl.d)"),
    )
}

/// Whether both cannot be bound at a time.
fn collides(held: SocketAddr, wanted: SocketAddr) -> bool {
    let overlap =
        held.ip() == wanted.ip() || held.ip().is_unspecified() || wanted.ip().is_unspecified();
    wanted.port() != 0
        && held.port() == wanted.port()
        && held.is_ipv4() == wanted.is_ipv4()
        && overlap
}

fn is_ours(ports: &Ports, bound: &Bound) -> bool {
    let owner = bound.owner.as_ref().map(|(pid, _)| *pid);
    owner.is_some() && owner == ports.relay_pid
}

fn owner(bound: &Bound) -> String {
    match &bound.owner {
        Some((pid, name)) => format!("{name} (pid {pid})"),
        None => "another program".to_owned(),
    }
}
