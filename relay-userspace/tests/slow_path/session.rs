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
use stun_types::attribute::{ErrorCode, MessageIntegrity, Nonce, Realm};
use stun_types::message::{
    BINDING, IntegrityAlgorithm, LongTermKeyCredentials, Message, MessageClass,
    MessageIntegrityCredentials, MessageType, MessageWrite, MessageWriteExt, MessageWriteVec,
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

/// What somebody who reads along answers to a request, faster than the server.
type Lie = Arc<dyn Fn(&Message<'_>) -> Option<Vec<u8>> + Send + Sync>;

/// Passes everything on, and lies before the server answers. Where it is.
async fn on_the_way(server: SocketAddr, lie: Lie) -> SocketAddr {
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
                    let lies = Message::from_bytes(&there[..length]).ok().and_then(|asked| lie(&asked));
                    if let Some(lies) = lies {
                        outside.send_to(&lies, client).await.expect("sent");
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

fn answer_to(request: &Message<'_>, class: MessageClass) -> MessageWriteVec {
    let kind = MessageType::from_class_method(class, request.method());
    Message::builder(kind, request.transaction_id(), MessageWriteVec::new())
}

/// To whatever is signed.
fn unsigned_error(code: u16) -> Lie {
    Arc::new(move |request| {
        request.attribute::<MessageIntegrity>().ok()?;
        let mut answer = answer_to(request, MessageClass::Error);
        let error = ErrorCode::new(code, "\u{1b}[2J").expect("a code");
        answer.add_attribute(&error).expect("room");
        Some(answer.finish())
    })
}

/// Of a realm and a nonce the server does not know, to whatever is not a question of its leg.
fn challenge(code: u16) -> Lie {
    Arc::new(move |request| {
        let realm = request.attribute::<Realm>();
        let realm = realm.unwrap_or_else(|_| Realm::new("elsewhere").expect("short"));
        let mut answer = answer_to(request, MessageClass::Error);
        let error = ErrorCode::new(code, "").expect("a code");
        answer.add_attribute(&error).expect("room");
        answer.add_attribute(&realm).expect("room");
        let nonce = Nonce::new("made up").expect("short");
        answer.add_attribute(&nonce).expect("room");
        (!request.has_method(BINDING)).then(|| answer.finish())
    })
}

const NOT_THE_RELAYS: &str = "192.0.2.66:6666";

/// Grants another address than the relay would.
fn grant() -> Lie {
    Arc::new(|request| {
        let relayed = NOT_THE_RELAYS.parse().expect("an address");
        let relayed = XorRelayedAddress::new(relayed, request.transaction_id());
        let mut answer = answer_to(request, MessageClass::Success);
        answer.add_attribute(&relayed).expect("room");
        answer.add_attribute(&Lifetime::new(600)).expect("room");
        request.has_method(ALLOCATE).then(|| answer.finish())
    })
}

#[tokio::test]
async fn whoever_answers_before_the_relay_and_signs_nothing_ends_nothing_and_gives_nothing() {
    let errors = [300, 400, 403, 437, 486, 508].map(|code| (code, unsigned_error(code)));
    let challenges = [401, 438].map(|code| (code, challenge(code)));
    for (code, lie) in errors.into_iter().chain(challenges).chain([(200, grant())]) {
        let relay = relay(config()).await;
        let server = relay.status().listen[0];
        let peer = Endpoint::new().await;
        let (session, mut told) = Session::start(options(on_the_way(server, lie).await));
        session.open(peer.address()).await;
        loop {
            match next(&mut told).await {
                Happening::Bound { .. } => break,
                Happening::Relayed(address) => assert_ne!(address.to_string(), NOT_THE_RELAYS),
                Happening::Notice { .. } => {}
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

#[tokio::test]
async fn a_password_the_relay_does_not_know_is_refused_by_it() {
    let relay = relay(config()).await;
    let mut options = options(relay.status().listen[0]);
    options.login = Login::new(USER, "not the password");
    let (_session, mut told) = Session::start(options);
    let refusal = loop {
        match next(&mut told).await {
            Happening::Ended(refusal) => break refusal,
            Happening::Notice { .. } => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(refusal.by_the_relay(), "{refusal}");
    relay.shutdown().await;
}

#[tokio::test]
async fn a_server_that_wants_a_login_and_then_says_nothing_has_refused_nobody() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let silence = move |_: &Message<'_>| {
        counted.fetch_add(1, Relaxed);
        None
    };
    let silent = server(behind_a_login(Arc::new(silence))).await;
    let (_session, mut told) = Session::start(options(silent));
    // One request is sent four times.
    crate::setup::eventually("it asks again", async || asked.load(Relaxed) > 4).await;
    while let Ok(happening) = told.try_recv() {
        assert!(
            !format!("{happening:?}").contains("Refused"),
            "{happening:?}"
        );
    }
}

/// Answers as it is told. Where it is.
async fn server(answer: Lie) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let address = socket.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut bytes = [0; 2048];
        loop {
            let (length, from) = socket.recv_from(&mut bytes).await.expect("a datagram");
            let request = Message::from_bytes(&bytes[..length]).expect("STUN");
            if let Some(answer) = answer(&request) {
                socket.send_to(&answer, from).await.expect("sent");
            }
        }
    });
    address
}

/// Wants a login, and then answers as `signed`; to what nobody signs, at once.
fn behind_a_login(signed: Lie) -> Lie {
    let stranger = challenge(401);
    Arc::new(move |request| {
        if request.has_method(BINDING) {
            return Some(answer_to(request, MessageClass::Success).finish());
        }
        match request.attribute::<MessageIntegrity>() {
            Ok(_) => signed(request),
            Err(_) => stranger(request),
        }
    })
}

/// Grants everything for no time at all, as fast as it is asked; counts what it was asked for.
fn mean(refreshes: Arc<AtomicUsize>) -> Lie {
    let key: MessageIntegrityCredentials =
        LongTermKeyCredentials::new(USER.into(), PASSWORD.into(), "elsewhere".into()).into();
    Arc::new(move |request| {
        if request.has_method(REFRESH) {
            refreshes.fetch_add(1, Relaxed);
        }
        let mut answer = answer_to(request, MessageClass::Success);
        if request.has_method(ALLOCATE) {
            let relayed = NOT_THE_RELAYS.parse().expect("an address");
            let relayed = XorRelayedAddress::new(relayed, request.transaction_id());
            answer.add_attribute(&relayed).expect("room");
        }
        answer.add_attribute(&Lifetime::new(0)).expect("room");
        let signed = answer.add_message_integrity(&key, IntegrityAlgorithm::Sha1);
        signed.expect("room");
        Some(answer.finish())
    })
}

#[tokio::test]
async fn a_server_that_grants_no_time_is_not_asked_without_a_pause() {
    let began = Instant::now();
    let refreshes = Arc::new(AtomicUsize::new(0));
    let (session, mut told) = Session::start(options(
        server(behind_a_login(mean(Arc::clone(&refreshes)))).await,
    ));
    while !matches!(next(&mut told).await, Happening::Relayed(_)) {}
    crate::setup::eventually("it is asked again", async || refreshes.load(Relaxed) >= 2).await;
    assert!(began.elapsed() >= Duration::from_secs(1), "{began:?}");
    session.end().await;
}
