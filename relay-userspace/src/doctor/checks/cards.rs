//! Each card: is it there, which rung of native, generic, none it gets and why, its MTU, its reverse-path filter.

use super::super::facts::{Attached, Card};
use super::Finding;

/// `NETDEV_XDP_ACT_BASIC` and `NETDEV_XDP_ACT_NDO_XMIT` of `enum netdev_xdp_act`:
/// <https://docs.kernel.org/netlink/specs/netdev.html#xdp-act>.
const BASIC: u64 = 1;
const NDO_XMIT: u64 = 4;
/// A page less 256 bytes of headroom and the shared info at its end: what drivers take with a program that has no
/// fragments. Some take a little more.
const LARGEST_MTU: u32 = 3498;
/// RFC 8200 §5.
const SMALLEST_MTU: u32 = 1280;
/// Drivers with XDP, for kernels that do not tell.
const NATIVE: [&str; 16] = [
    "virtio_net",
    "veth",
    "ixgbe",
    "ixgbevf",
    "i40e",
    "ice",
    "igb",
    "igc",
    "mlx4_en",
    "mlx5_core",
    "bnxt_en",
    "ena",
    "gve",
    "hv_netvsc",
    "tun",
    "nfp",
];

pub fn check(cards: &[Card], named: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !named {
        findings.push(Finding::warn(
            "card",
            "kernel.interfaces",
            "no card is named: everything is relayed in userspace",
            "name the cards that face clients and peers: relay serve --interface IF",
        ));
    }
    let several = cards.iter().filter(|card| card.exists).count() > 1;
    let generic = cards.iter().find(|card| card.exists && !native(card).0);
    for card in cards {
        if !card.exists {
            findings.push(Finding::fail(
                "card",
                &card.name,
                "there is no such interface",
                "`ip -br link` lists them",
            ));
            continue;
        }
        findings.push(link(card));
        findings.push(mode(card, generic.filter(|_| named)));
        findings.extend(redirects(card, several));
        findings.push(mtu(card));
        findings.extend(rp_filter(card, several));
    }
    findings
}

fn link(card: &Card) -> Finding {
    let driver = card.driver.as_deref().unwrap_or("unknown driver");
    match card.up {
        true => Finding::ok("card", &card.name, format!("up, {driver}")),
        false => Finding::warn(
            "card",
            &card.name,
            format!("down, {driver}"),
            format!("ip link set {} up", card.name),
        ),
    }
}

/// Whether native mode can be had, and how that is known.
fn native(card: &Card) -> (bool, String) {
    let driver = card.driver.as_deref().unwrap_or("the driver");
    match card.xdp_features {
        Some(features) if features & BASIC != 0 => (true, format!("{driver} has XDP")),
        Some(_) => (false, format!("{driver} has no XDP")),
        None if card
            .driver
            .as_deref()
            .is_some_and(|driver| NATIVE.contains(&driver)) =>
        {
            (true, format!("{driver} is known to have XDP"))
        }
        None => (false, format!("{driver} is not known to have XDP")),
    }
}

fn mode(card: &Card, generic: Option<&Card>) -> Finding {
    let name = &card.name;
    let (native, why) = native(card);
    let now = match card.attached {
        Some(Attached::Native) => "; a program is attached in native mode",
        Some(Attached::Generic) => "; a program is attached in generic mode",
        Some(Attached::Offloaded) => "; a program is offloaded to the card",
        None => "",
    };
    let slower = "works, slower; a card whose driver has XDP is faster";
    match (native, generic) {
        (false, _) => Finding::warn("xdp", name, format!("generic: {why}{now}"), slower),
        (true, Some(lowest)) => Finding::warn(
            "xdp",
            name,
            format!(
                "generic: {why}, but {} has not, and frames cross between cards of one mode{now}",
                lowest.name
            ),
            format!(
                "take {} out of kernel.interfaces if little passes there",
                lowest.name
            ),
        ),
        (true, None) if card.attached == Some(Attached::Generic) => Finding::warn(
            "xdp",
            name,
            format!("generic: {why}{now}"),
            "`relay status` says why it is not native; an offload below may be in the way",
        ),
        (true, None) => Finding::ok("xdp", name, format!("native: {why}{now}")),
    }
}

/// What comes in by one card and leaves by another needs the latter's `ndo_xdp_xmit`. Most drivers tell of it only once a
/// program is attached; veth always.
fn redirects(card: &Card, several: bool) -> Option<Finding> {
    let tells = card.attached == Some(Attached::Native) || card.driver.as_deref() == Some("veth");
    let lacks = tells
        && card
            .xdp_features
            .is_some_and(|features| features & BASIC != 0 && features & NDO_XMIT == 0);
    let remedy = match card.driver.as_deref() {
        Some("veth") => "give its other end GRO or a program: ethtool -K PEER gro on",
        _ => "relay in and out by the same card, or use --xdp generic",
    };
    (several && lacks).then(|| {
        Finding::warn(
            "xdp_redirect",
            &card.name,
            "takes no frames redirected from other cards",
            remedy,
        )
    })
}

fn mtu(card: &Card) -> Finding {
    let found = format!("MTU {}", card.mtu);
    match card.mtu {
        mtu if mtu > LARGEST_MTU && native(card).0 => Finding::warn(
            "mtu",
            &card.name,
            format!("{found}: no headroom left, most drivers refuse a program"),
            format!("ip link set {} mtu {LARGEST_MTU} (or 1500)", card.name),
        ),
        mtu if mtu < SMALLEST_MTU => Finding::warn(
            "mtu",
            &card.name,
            format!("{found}: IPv6 needs {SMALLEST_MTU}"),
            format!("ip link set {} mtu 1500", card.name),
        ),
        _ => Finding::ok("mtu", &card.name, found),
    }
}

fn rp_filter(card: &Card, several: bool) -> Option<Finding> {
    let name = &card.name;
    Some(match card.rp_filter? {
        1 if several => Finding::warn(
            "rp_filter",
            name,
            "strict: packets whose way back leads over another card are dropped before the relay sees them",
            format!("sysctl -w net.ipv4.conf.{name}.rp_filter=2 (loose; also in /etc/sysctl.d)"),
        ),
        1 => Finding::ok("rp_filter", name, "strict; harmless with one card"),
        2 => Finding::ok("rp_filter", name, "loose"),
        _ => Finding::ok("rp_filter", name, "off"),
    })
}
