//! Between rtnetlink's messages and the words of `next_hop`. No state.

use std::net::IpAddr;

use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::link::{
    InfoData, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteType, RouteVia,
};

use super::next_hop::{Link, Neighbour, Route, RouteKey};

/// An interface and its index; `None` for what a bridge says about its port.
pub fn link(message: &LinkMessage) -> Option<(u32, Link)> {
    if message.header.interface_family != AddressFamily::Unspec {
        return None;
    }
    let mut link = Link {
        name: String::new(),
        mac: None,
        mtu: 0,
        up: message.header.flags.contains(LinkFlags::Up),
        vlan: None,
    };
    let (mut below, mut vlan_id) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(mac)
                if message.header.link_layer_type == LinkLayerType::Ether =>
            {
                link.mac = mac.as_slice().try_into().ok();
            }
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Link(index) => below = Some(*index),
            LinkAttribute::LinkInfo(infos) => vlan_id = infos.iter().find_map(vlan_of),
            _ => {}
        }
    }
    link.vlan = below.zip(vlan_id);
    Some((message.header.index, link))
}

fn vlan_of(info: &LinkInfo) -> Option<u16> {
    let LinkInfo::Data(InfoData::Vlan(attributes)) = info else {
        return None;
    };
    attributes.iter().find_map(|attribute| match attribute {
        InfoVlan::Id(id) => Some(*id),
        _ => None,
    })
}

/// A neighbour, on which interface, and how it is reached; `None` for the last while it is not resolved.
pub fn neighbour(message: &NeighbourMessage) -> Option<(u32, IpAddr, Option<Neighbour>)> {
    let ours = matches!(
        message.header.family,
        AddressFamily::Inet | AddressFamily::Inet6
    );
    if !ours || message.header.flags.contains(NeighbourFlags::Proxy) {
        return None;
    }
    let (mut ip, mut mac) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => {
                ip = Some(IpAddr::V4(*v4))
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => {
                ip = Some(IpAddr::V6(*v6))
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = bytes.as_slice().try_into().ok(),
            _ => {}
        }
    }
    let usable = matches!(
        message.header.state,
        NeighbourState::Reachable
            | NeighbourState::Stale
            | NeighbourState::Delay
            | NeighbourState::Probe
            | NeighbourState::Permanent
            | NeighbourState::Noarp
    );
    let stale = message.header.state == NeighbourState::Stale;
    let neighbour = mac.filter(|_| usable).map(|mac| Neighbour { mac, stale });
    Some((message.header.ifindex, ip?, neighbour))
}

/// As `ip route get REMOTE from LOCAL`.
pub fn route_request(key: RouteKey) -> RouteMessage {
    let mut message = RouteMessage::default();
    let (family, bits) = match key.remote {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    message.header.address_family = family;
    message.header.destination_prefix_length = bits;
    message.header.source_prefix_length = bits;
    message
        .attributes
        .push(RouteAttribute::Destination(address(key.remote)));
    message
        .attributes
        .push(RouteAttribute::Source(address(key.local)));
    message
}

/// The answer to `route_request`.
pub fn route(key: RouteKey, message: &RouteMessage) -> Route {
    match message.header.kind {
        RouteType::Unicast => {}
        RouteType::Local | RouteType::Broadcast | RouteType::Anycast => return Route::Local,
        other => return Route::None(format!("{other:?}").to_lowercase()),
    }
    let (mut oif, mut gateway, mut mtu) = (None, None, 0);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(index) => oif = Some(*index),
            RouteAttribute::Gateway(RouteAddress::Inet(v4)) => gateway = Some(IpAddr::V4(*v4)),
            RouteAttribute::Gateway(RouteAddress::Inet6(v6)) => gateway = Some(IpAddr::V6(*v6)),
            RouteAttribute::Via(RouteVia::Inet(v4)) => gateway = Some(IpAddr::V4(*v4)),
            RouteAttribute::Via(RouteVia::Inet6(v6)) => gateway = Some(IpAddr::V6(*v6)),
            RouteAttribute::Metrics(metrics) => mtu = mtu_of(metrics),
            RouteAttribute::EncapType(_) => {
                return Route::None(
                    "it leads into a tunnel, where only the host can send".to_owned(),
                );
            }
            _ => {}
        }
    }
    match oif {
        Some(oif) => Route::Via {
            oif,
            neighbour: gateway.unwrap_or(key.remote),
            mtu,
        },
        None => Route::None("the route names no interface".to_owned()),
    }
}

fn mtu_of(metrics: &[RouteMetric]) -> u16 {
    let mtu = metrics.iter().find_map(|metric| match metric {
        RouteMetric::Mtu(mtu) => Some(*mtu),
        _ => None,
    });
    mtu.map_or(0, |mtu| u16::try_from(mtu).unwrap_or(u16::MAX))
}

fn address(ip: IpAddr) -> RouteAddress {
    match ip {
        IpAddr::V4(v4) => RouteAddress::Inet(v4),
        IpAddr::V6(v6) => RouteAddress::Inet6(v6),
    }
}

#[cfg(test)]
mod tests {
    use rtnetlink::packet_route::link::InfoKind;

    use super::*;

    #[test]
    fn a_vlan_interface_names_the_card_below_it() {
        let mut message = LinkMessage::default();
        message.header.index = 7;
        message.header.link_layer_type = LinkLayerType::Ether;
        message.header.flags = LinkFlags::Up;
        message.attributes = vec![
            LinkAttribute::IfName("eth0.100".to_owned()),
            LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]),
            LinkAttribute::Mtu(1496),
            LinkAttribute::Link(2),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Vlan),
                LinkInfo::Data(InfoData::Vlan(vec![InfoVlan::Id(100)])),
            ]),
        ];
        let expected = Link {
            name: "eth0.100".to_owned(),
            mac: Some([2, 0, 0, 0, 0, 1]),
            mtu: 1496,
            up: true,
            vlan: Some((2, 100)),
        };
        assert_eq!(link(&message), Some((7, expected)));
        message.header.interface_family = AddressFamily::Bridge;
        assert_eq!(link(&message), None);
    }

    #[test]
    fn a_failed_neighbour_is_not_resolved_even_if_its_address_is_remembered() {
        let mut message = NeighbourMessage::default();
        message.header.ifindex = 3;
        message.header.family = AddressFamily::Inet;
        message.header.state = NeighbourState::Stale;
        let ip = [192, 0, 2, 9].into();
        message.attributes = vec![
            NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)),
            NeighbourAttribute::LinkLayerAddress(vec![2, 0, 0, 0, 0, 9]),
        ];
        let known = Neighbour {
            mac: [2, 0, 0, 0, 0, 9],
            stale: true,
        };
        assert_eq!(neighbour(&message), Some((3, ip.into(), Some(known))));
        message.header.state = NeighbourState::Failed;
        assert_eq!(neighbour(&message), Some((3, ip.into(), None)));
    }

    #[test]
    fn a_route_gives_gateway_interface_and_mtu() {
        let key = RouteKey {
            remote: [198, 51, 100, 7].into(),
            local: [192, 0, 2, 1].into(),
        };
        let mut message = RouteMessage::default();
        message.header.kind = RouteType::Unicast;
        message.attributes = vec![
            RouteAttribute::Oif(2),
            RouteAttribute::Gateway(RouteAddress::Inet([192, 0, 2, 254].into())),
            RouteAttribute::Metrics(vec![RouteMetric::Mtu(1400)]),
        ];
        let neighbour = [192, 0, 2, 254].into();
        assert_eq!(
            route(key, &message),
            Route::Via {
                oif: 2,
                neighbour,
                mtu: 1400
            }
        );
        message.header.kind = RouteType::Local;
        assert_eq!(route(key, &message), Route::Local);
        message.header.kind = RouteType::BlackHole;
        assert_eq!(route(key, &message), Route::None("blackhole".to_owned()));
    }
}
