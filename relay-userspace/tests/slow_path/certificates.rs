//! Certificates swapped while connections carry data.

use std::path::Path;

use rcgen::generate_simple_self_signed;
use relay_userspace::tls::CertificateFiles;
use tokio::net::TcpStream;

use crate::endpoint::Endpoint;
use crate::setup::{config, metric, relay};
use crate::stream::over_tls;
use crate::trust::tls_to;

const SWAPS: usize = 100;
const CONNECTIONS: u16 = 10;
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

#[tokio::test]
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
    let peer = Endpoint::new().await;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = over_tls(server, &[]).await;
        let relayed = client.allocate().await.expect("allocated").relayed;
        client.bind(CHANNEL, peer.address()).await.expect("bound");
        clients.push((client, relayed));
    }
    for swap in 0..SWAPS {
        let new = write(&first, "first.example");
        assert_eq!(relay.reload_certificates().expect("good files"), 2);
        for (number, (client, relayed)) in clients.iter().enumerate() {
            let data = [swap as u8, number as u8];
            client.send_channel(CHANNEL, &data).await;
            assert_eq!(peer.receive().await, (data.to_vec(), *relayed));
            peer.send(*relayed, &data).await;
            assert_eq!(client.receive_channel().await, (CHANNEL, data.to_vec()));
        }
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
    assert_eq!(connections, u64::from(CONNECTIONS));
    assert_eq!(
        metric(&relay, "stream_accepted", "turn_tls").await,
        connections
    );
    relay.shutdown().await;
}
