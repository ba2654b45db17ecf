//! The cards of this network namespace: links by rtnetlink, features by generic netlink, settings from /proc and /sys.

use std::path::Path;

use futures_util::TryStreamExt;
use rtnetlink::packet_route::link::{
    LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, LinkXdp, XdpAttached,
};

use super::super::facts::{Attached, Card};
use super::genetlink::Generic;
use super::number;

/// The `named` ones, there or not; without names the real Ethernet cards that are up, or what stands for them.
pub async fn read(named: &[String]) -> Vec<Card> {
    let links = links().await.unwrap_or_default();
    let ethernet = links
        .iter()
        .filter(|link| link.header.link_layer_type == LinkLayerType::Ether);
    let mut cards: Vec<_> = ethernet.map(card).collect();
    if named.is_empty() {
        cards.retain(|card| card.up);
        let real =
            |card: &Card| Path::new(&format!("/sys/class/net/{}/device", card.name)).exists();
        if cards.iter().any(real) {
            cards.retain(real);
        }
        return cards;
    }
    let absent = |name: &String| Card {
        name: name.clone(),
        ..Card::default()
    };
    let mut take = |name: &String| {
        let at = cards.iter().position(|card| card.name == *name);
        at.map_or_else(|| absent(name), |at| cards.swap_remove(at))
    };
    named.iter().map(&mut take).collect()
}

async fn links() -> Result<Vec<LinkMessage>, rtnetlink::Error> {
    let (connection, handle, _) =
        rtnetlink::new_connection().map_err(|_| rtnetlink::Error::RequestFailed)?;
    let task = tokio::spawn(connection);
    let links = handle.link().get().execute().try_collect().await;
    task.abort();
    links
}

fn card(link: &LinkMessage) -> Card {
    let mut card = Card {
        exists: true,
        up: link.header.flags.contains(LinkFlags::Up),
        ..Card::default()
    };
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => card.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => card.mtu = *mtu,
            LinkAttribute::LinkInfo(infos) => {
                let kind = |info: &LinkInfo| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                };
                card.driver = infos.iter().find_map(kind);
            }
            LinkAttribute::Xdp(attributes) => card.attached = attributes.iter().find_map(attached),
            _ => {}
        }
    }
    let name = &card.name;
    let driver = std::fs::read_link(format!("/sys/class/net/{name}/device/driver")).ok();
    let driver = driver.and_then(|path| Some(path.file_name()?.to_str()?.to_owned()));
    card.driver = card.driver.or(driver);
    if let Ok(mut generic) = Generic::open() {
        card.xdp_features = generic.xdp_features(link.header.index).ok();
        card.features = generic.features(link.header.index).ok();
    }
    let of_family = |family: &str, of: &str, key: &str| {
        number(&format!("/proc/sys/net/{family}/conf/{of}/{key}"))
    };
    card.rp_filter =
        of_family("ipv4", name, "rp_filter").max(of_family("ipv4", "all", "rp_filter"));
    card.accept_ra = of_family("ipv6", name, "accept_ra");
    card
}

fn attached(attribute: &LinkXdp) -> Option<Attached> {
    match attribute {
        LinkXdp::Attached(XdpAttached::Driver) => Some(Attached::Native),
        LinkXdp::Attached(XdpAttached::SocketBuffer) => Some(Attached::Generic),
        LinkXdp::Attached(XdpAttached::Hardware) => Some(Attached::Offloaded),
        _ => None,
    }
}
