//! Allocations that follow their client over paths of different workers (RFC 8016).

use crate::client::TurnClient;
use crate::endpoint::Endpoint;
use crate::setup::{config, eventually, metric, relay};
use crate::stream::{named, over_tcp, over_tls};

const CHANNEL: u16 = 0x4001;
const CLIENT: &str = "203.0.113.7 198.51.100.1 4242";
/// That all of them meet one worker of four is one chance in 10^14.
const MOVES: usize = 24;

#[tokio::test]
async fn what_a_client_sends_by_the_path_it_left_arrives_whichever_worker_hears_it() {
    let mut several = config();
    several.workers = 4;
    let relay = relay(several).await;
    let status = relay.status();
    let peer = Endpoint::new().await;
    let mut client = TurnClient::new(status.listen[0]).await;
    let (relayed, mut ticket) = client.allocate_mobile().await.expect("allocated");
    client.bind(CHANNEL, peer.address()).await.expect("bound");
    for step in 0..MOVES as u8 {
        let mut next = match step % 3 {
            0 => over_tls(status.listen_tls[0], &[]).await,
            1 => TurnClient::new(status.listen[0]).await,
            _ => over_tcp(status.listen_tcp[0]).await,
        };
        ticket = next.come_over(&ticket).await.expect("the owner's ticket");
        for late in 0..5 {
            client.send_channel(CHANNEL, &[step, late]).await;
            assert_eq!(peer.receive().await, (vec![step, late], relayed));
        }
        client.send(peer.address(), b"indicated").await;
        assert_eq!(peer.receive().await, (b"indicated".to_vec(), relayed));
        peer.send(relayed, &[step]).await;
        assert_eq!(next.receive_channel().await, (CHANNEL, vec![step]));
        next.send_channel(CHANNEL, b"by the new path").await;
        assert_eq!(peer.receive().await.0, b"by the new path");
        client = next;
    }
    assert!(peer.is_empty());
    assert_eq!(
        metric(&relay, "turn_allocations_moved", "").await,
        MOVES as u64
    );
    let passed_on = metric(&relay, "former_path_messages", "").await;
    assert!(
        passed_on > 0 && passed_on <= 6 * MOVES as u64,
        "{passed_on}"
    );
    assert_eq!(relay.sessions().await.len(), 1);
    relay.shutdown().await;
}

#[tokio::test]
async fn a_new_connection_on_a_path_somebody_left_sends_nothing_in_his_name() {
    let mut proxied = config();
    proxied.workers = 4;
    proxied.listen.proxy_protocol_from = vec!["127.0.0.0/8".parse().unwrap()];
    let relay = relay(proxied).await;
    let status = relay.status();
    let peer = Endpoint::new().await;
    // Until the worker of the two connections is not that of the socket.
    for _ in 0..MOVES {
        let mut first = named(status.listen_tcp[0], CLIENT).await;
        let (_, ticket) = first.allocate_mobile().await.expect("allocated");
        first.bind(CHANNEL, peer.address()).await.expect("bound");
        let mut next = TurnClient::new(status.listen[0]).await;
        next.come_over(&ticket).await.expect("moved");
        drop(first);
        let before = metric(&relay, "turn_dropped_channel_data_unbound", "").await;
        let mut second = named(status.listen_tcp[0], CLIENT).await;
        second.refresh(0).await.expect_err("nothing to end");
        second.send_channel(CHANNEL, b"not his").await;
        eventually("it is nobody's", async || {
            metric(&relay, "turn_dropped_channel_data_unbound", "").await == before + 1
        })
        .await;
        assert!(peer.is_empty());
        next.refresh(0).await.expect("ended");
    }
    relay.shutdown().await;
}
