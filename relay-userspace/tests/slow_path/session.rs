//! The client's session, with somebody on the way who reads what it sends and answers first, and with a server that is mean.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use relay_userspace::client::request::Login;
use relay_userspace::client::secure::SecureServer;
use relay_userspace::client::session::{Happening, Options, Session};
use relay_userspace::mode::{Mode, Policy};
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};
use stun_types::attribute::{ErrorCode, MessageIntegrity};
use stun_types::message::{
    Message, MessageClass, MessageType, MessageWrite, MessageWriteExt, MessageWriteVec,
};
use tokio::net::UdpSocket;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;
use turn_types::attribute::{Lifetime, XorRelayedAddress};
use turn_types::message::{ALLOCATE, REFRESH};

use crate::endpoint::Endpoint;
use crate::setup::{DEADLINE, PASSWORD, USER, config, metric, relay};

fn options(server: SocketAddr) -> Options {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder
        .with_safe_default_protocol_versions()
        .expect("versions");
    let builder = builder.with_root_certificates(RootCertStore::empty());
    Options {
        mode: Mode::UdpOnly,
        policy: Policy::default(),
        login: Login::new(USER, PASSWORD),
        udp: server,
        secure: SecureServer {
            address: server,
            name: "relay.test".try_into().expect("a name"),
            tls: Arc::new(builder.with_no_client_auth()),
        },
        relayed_v4: true,
    }
}

async fn next(happenings: &mut Receiver<Happening>) -> Happening {
    let next = timeout(DEADLINE, happenings.recv()).await;
    next.expect("in time").expect("not over")
}

/// Passes everything on; to whatever is signed, answers `code` first, unsigned. Where it is.
async fn on_the_way(server: SocketAddr, code: u16) -> SocketAddr {
    let outside = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let inside = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    inside.connect(server).await.expect("connected");
    let address = outside.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut client = server;
        let (mut there, mut back) = ([0; 2048], [0; 2048]);
        loop {
            tokio::select! {
                got = outside.recv_from(&mut there) => {
                    let (length, from) = got.expect("a datagram");
                    client = from;
                    if let Some(lie) = unsigned_error(&there[..length], code) {
                        outside.send_to(&lie, client).await.expect("sent");
                    }
                    inside.send(&there[..length]).await.expect("sent");
                }
                got = inside.recv(&mut back) => {
                    let length = got.expect("a datagram");
                    outside.send_to(&back[..length], client).await.expect("sent");
                }
            }
        }
    });
    address
}

fn unsigned_error(request: &[u8], code: u16) -> Option<Vec<u8>> {
    let request = Message::from_bytes(request).ok()?;
    request.attribute::<MessageIntegrity>().ok()?;
    let kind = MessageType::from_class_method(MessageClass::Error, request.method());
    let transaction = request.transaction_id();
    let mut answer = Message::builder(kind, transaction, MessageWriteVec::new());
    let error = ErrorCode::new(code, "\u{1b}[2J").expect("a code");
    answer.add_attribute(&error).expect("room");
    Some(answer.finish())
}

#[tokio::test]
async fn an_error_that_is_not_signed_ends_nothing() {
    for code in [300, 400, 403, 437, 486, 508] {
        let relay = relay(config()).await;
        let server = relay.status().listen[0];
        let peer = Endpoint::new().await;
        let (session, mut told) = Session::start(options(on_the_way(server, code).await));
        session.open(peer.address()).await;
        loop {
            match next(&mut told).await {
                Happening::Bound { .. } => break,
                Happening::Notice { .. } | Happening::Relayed(_) => {}
                other => panic!("{code}: {other:?}"),
            }
        }
        session.send(peer.address(), b"hello".to_vec());
        assert_eq!(peer.receive().await.0, b"hello", "{code}");
        assert_eq!(metric(&relay, "allocations", "").await, 1, "{code}");
        session.end().await;
        relay.shutdown().await;
    }
}

/// Grants everything for no time at all, as fast as it is asked; counts what it was asked for.
async fn mean(refreshes: Arc<AtomicUsize>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let address = socket.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut bytes = [0; 2048];
        loop {
            let (length, from) = socket.recv_from(&mut bytes).await.expect("a datagram");
            let request = Message::from_bytes(&bytes[..length]).expect("STUN");
            let kind = MessageType::from_class_method(MessageClass::Success, request.method());
            let transaction = request.transaction_id();
            let mut answer = Message::builder(kind, transaction, MessageWriteVec::new());
            if request.has_method(REFRESH) {
                refreshes.fetch_add(1, Relaxed);
            }
            if request.has_method(ALLOCATE) {
                let relayed = XorRelayedAddress::new(address, transaction);
                answer.add_attribute(&relayed).expect("room");
            }
            answer.add_attribute(&Lifetime::new(0)).expect("room");
            socket.send_to(&answer.finish(), from).await.expect("sent");
        }
    });
    address
}

#[tokio::test]
async fn a_server_that_grants_no_time_is_not_asked_without_a_pause() {
    let began = Instant::now();
    let refreshes = Arc::new(AtomicUsize::new(0));
    let (session, mut told) = Session::start(options(mean(Arc::clone(&refreshes)).await));
    while !matches!(next(&mut told).await, Happening::Relayed(_)) {}
    crate::setup::eventually("it is asked again", async || refreshes.load(Relaxed) >= 2).await;
    assert!(began.elapsed() >= Duration::from_secs(1), "{began:?}");
    session.end().await;
}
