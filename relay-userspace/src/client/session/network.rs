//! Whether this host's way to the relay has become another one: follows rtnetlink, and looks the route up when addresses,
//! links or routes change. Sends nothing to the relay.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{StreamExt, TryStreamExt};
use rtnetlink::Handle;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use crate::net::route_groups::ROUTE_GROUPS;

/// Changes come in bursts: a link, its address, its routes.
const SETTLE: Duration = Duration::from_millis(20);
/// Between two attempts to listen.
const AGAIN: Duration = Duration::from_secs(1);

/// Card, gateway and source address towards the relay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Way {
    card: Option<u32>,
    gateway: Option<RouteAddress>,
    source: Option<RouteAddress>,
}

#[derive(Debug)]
pub(super) struct Network {
    changes: mpsc::Receiver<()>,
    task: JoinHandle<()>,
}

impl Network {
    pub fn watch(relay: IpAddr) -> Self {
        let (told, changes) = mpsc::channel(1);
        let task = tokio::spawn(async move {
            let mut way = None;
            loop {
                if let Err(fault) = follow(relay, &mut way, &told).await {
                    tracing::debug!(%fault, "rtnetlink: changes of the network go unnoticed for a moment");
                }
                tokio::time::sleep(AGAIN).await;
            }
        });
        Self { changes, task }
    }

    /// Each time the way is another one than before.
    pub async fn changed(&mut self) {
        if self.changes.recv().await.is_none() {
            std::future::pending().await
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(
    relay: IpAddr,
    way: &mut Option<Option<Way>>,
    told: &mpsc::Sender<()>,
) -> io::Result<()> {
    let (connection, handle, mut events) = rtnetlink::new_multicast_connection(&ROUTE_GROUPS)?;
    let mut connections = JoinSet::new();
    connections.spawn(connection);
    loop {
        let now = look_up(&handle, relay).await;
        let before = way.replace(now.clone());
        // Without a way there is nothing to decide until there is one.
        if now.is_some() && before.is_some_and(|before| before != now) {
            // One that waits says the same.
            let _ = told.try_send(());
        }
        if events.next().await.is_none() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        tokio::time::sleep(SETTLE).await;
        while let Some(Some(_)) = events.next().now_or_never() {}
    }
}

/// As `ip route get RELAY`; `None`: there is none.
async fn look_up(handle: &Handle, relay: IpAddr) -> Option<Way> {
    let found = handle
        .route()
        .get(question(relay))
        .execute()
        .try_next()
        .await;
    let mut way = Way::default();
    for attribute in found.ok().flatten()?.attributes {
        match attribute {
            RouteAttribute::Oif(card) => way.card = Some(card),
            RouteAttribute::Gateway(gateway) => way.gateway = Some(gateway),
            RouteAttribute::PrefSource(source) => way.source = Some(source),
            _ => {}
        }
    }
    Some(way)
}

fn question(relay: IpAddr) -> RouteMessage {
    let mut message = RouteMessage::default();
    let (family, bits, address) = match relay {
        IpAddr::V4(v4) => (AddressFamily::Inet, 32, RouteAddress::Inet(v4)),
        IpAddr::V6(v6) => (AddressFamily::Inet6, 128, RouteAddress::Inet6(v6)),
    };
    message.header.address_family = family;
    message.header.destination_prefix_length = bits;
    let destination = RouteAttribute::Destination(address);
    message.attributes.push(destination);
    message
}
