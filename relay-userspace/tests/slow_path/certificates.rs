//! Certificates swapped while connections carry data.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rcgen::generate_simple_self_signed;
use relay_userspace::tls::CertificateFiles;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::client::TurnClient;
use crate::endpoint::Endpoint;
use crate::setup::{config, metric, relay};
use crate::stream::over_tls;
use crate::trust::tls_to;

const SWAPS: usize = 100;
const CONNECTIONS: usize = 10;
const CHANNEL: u16 = 0x4001;

/// Writes a certificate for `name`; the DER a client will be shown.
fn write(files: &CertificateFiles, name: &str) -> Vec<u8> {
    let made = generate_simple_self_signed([name.to_string()]).expect("a certificate");
    std::fs::write(&files.cert, made.cert.pem()).expect("written");
    std::fs::write(&files.key, made.signing_key.serialize_pem()).expect("written");
    made.cert.der().to_vec()
}

fn files(directory: &Path, stem: &str) -> CertificateFiles {
    CertificateFiles {
        cert: directory.join(format!("{stem}.crt")),
        key: directory.join(format!("{stem}.key")),
    }
}

/// A datagram each way after the other, until `stop`; how many.
async fn data_both_ways(mut client: TurnClient, number: u8, stop: Arc<AtomicBool>) -> usize {
    let peer = Endpoint::new().await;
    let relayed = client.allocate().await.expect("allocated").relayed;
    client.bind(CHANNEL, peer.address()).await.expect("bound");
    let mut exchanged = 0usize;
    while !stop.load(Relaxed) {
        let data = [exchanged as u8, number];
        client.send_channel(CHANNEL, &data).await;
        assert_eq!(peer.receive().await, (data.to_vec(), relayed));
        peer.send(relayed, &data).await;
        assert_eq!(client.receive_channel().await, (CHANNEL, data.to_vec()));
        exchanged += 1;
    }
    exchanged
}

/// One after the other, until `stop`; how many. None may fail.
async fn handshakes(server: SocketAddr, stop: Arc<AtomicBool>) -> usize {
    let mut made = 0;
    while !stop.load(Relaxed) {
        let tcp = TcpStream::connect(server).await.expect("connected");
        tls_to(tcp, "first.example", &[])
            .await
            .expect("a handshake");
        made += 1;
    }
    made
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_swaps_under_load_drop_no_connection_and_show_each_new_certificate() {
    let directory = tempfile::tempdir().expect("a directory");
    let [first, second] = ["first", "second"].map(|stem| files(directory.path(), stem));
    write(&first, "first.example");
    let of_second = write(&second, "second.example");
    let mut config = config();
    config.tls.certificates = vec![first.clone(), second];
    let relay = relay(config).await;
    let server = relay.status().listen_tls[0];
    let shown = async |name: &str| {
        let tcp = TcpStream::connect(server).await.expect("connected");
        tls_to(tcp, name, &[]).await.expect("a handshake").1
    };
    let stop = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    for number in 0..CONNECTIONS {
        let client = over_tls(server, &[]).await;
        load.spawn(data_both_ways(client, number as u8, Arc::clone(&stop)));
    }
    let mut strangers = JoinSet::new();
    strangers.spawn(handshakes(server, Arc::clone(&stop)));
    for swap in 0..SWAPS {
        let new = write(&first, "first.example");
        assert_eq!(relay.reload_certificates().expect("good files"), 2);
        assert_eq!(shown("first.example").await, new, "swap {swap}");
    }
    assert_eq!(shown("second.example").await, of_second);

    let good = shown("first.example").await;
    std::fs::write(&first.key, "no key").expect("written");
    let told = relay
        .reload_certificates()
        .expect_err("a bad key")
        .to_string();
    assert!(
        told.contains("first.key") && told.contains("no private key"),
        "{told}"
    );
    assert_eq!(shown("first.example").await, good);
    let connections = metric(&relay, "stream_connections", "").await;
    assert_eq!(connections, CONNECTIONS as u64);
    assert_eq!(
        metric(&relay, "stream_accepted", "turn_tls").await,
        connections
    );
    stop.store(true, Relaxed);
    for exchanged in load.join_all().await {
        assert!(exchanged > SWAPS, "{exchanged} packets are no load");
    }
    let made = strangers.join_all().await;
    assert!(made[0] > SWAPS / 2, "{made:?} handshakes");
    assert_eq!(metric(&relay, "stream_refused", "tls_handshake").await, 0);
    relay.shutdown().await;
}
