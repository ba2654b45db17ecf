//! A relay on loopback, and endpoints that wait with a deadline.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use relay_userspace::config::{
    Admin, Auth, Config, Destination, Forward, Kernel, Limits, Listen, Metrics, Peers,
    RelayAddresses, Stream, Tls, Turn, User, XdpMode,
};
use relay_userspace::relay::Relay;
use relay_userspace::secret::Secret;
use tokio::net::TcpSocket;

/// Far beyond what loopback takes, even on a loaded machine.
pub const DEADLINE: Duration = Duration::from_secs(20);
pub const USER: &str = "alice";
pub const PASSWORD: &str = "wonderland";

/// Loopback may be reached; every port is chosen by the kernel or the pool.
pub fn config() -> Config {
    Config {
        listen: Listen {
            udp: vec![addr("127.0.0.1:0")],
            tcp: vec![addr("127.0.0.1:0")],
            tls: vec![addr("127.0.0.1:0")],
            proxy_protocol_from: Vec::new(),
        },
        tls: Tls::default(),
        stream: Stream {
            handshakes_per_second: 10_000,
            ..Stream::default()
        },
        turn: Turn::default(),
        relay: RelayAddresses {
            addresses: Vec::new(),
            advertise: Vec::new(),
            ports: 10000..=65535,
        },
        kernel: Kernel {
            interfaces: Vec::new(),
            xdp: XdpMode::Off,
            max_sessions: 64,
            pin_directory: "/nowhere".into(),
        },
        auth: Auth {
            realm: "relay.test".to_string(),
            secrets: Vec::new(),
            users: vec![User {
                name: USER.to_string(),
                password: Secret::new(PASSWORD.to_string()),
            }],
            ..Auth::default()
        },
        peers: Peers {
            allow: vec!["127.0.0.0/8".parse().expect("network")],
            deny: Vec::new(),
        },
        rates: Default::default(),
        drain: Default::default(),
        signaling: Default::default(),
        api: Default::default(),
        events: Default::default(),
        limits: Limits {
            allocations: 1000,
            allocations_per_user: 1000,
            permissions_per_allocation: 256,
            channels_per_allocation: 256,
            max_lifetime: Duration::from_secs(3600),
            unauthenticated_per_second: 10_000,
            ..Limits::default()
        },
        shield: Default::default(),
        forwards: Vec::new(),
        admin: Admin {
            socket: "unused".into(),
        },
        metrics: Metrics { listen: None },
        workers: 2,
        survive: false,
    }
}

pub async fn relay(config: Config) -> Relay {
    Relay::start(config).await.expect("the relay starts")
}

/// A forward to a destination of the test, for anyone.
pub fn forward(name: &str, to: SocketAddr) -> Forward {
    let to = Destination {
        host: to.ip().to_string(),
        port: to.port(),
    };
    Forward {
        name: name.to_string(),
        listen: addr("127.0.0.1:0"),
        to,
        allow: Vec::new(),
        idle: Duration::from_secs(60),
        max_sessions: 100,
    }
}

/// An address where nobody listens for TCP, and nobody will while it is there: bound, and no more.
pub struct Nobody(TcpSocket);

impl Nobody {
    pub fn new() -> Nobody {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(addr("127.0.0.1:0")).expect("a port");
        Nobody(socket)
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("bound")
    }
}

pub fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// Asks until the answer is yes.
pub async fn eventually<F: Future<Output = bool>>(what: &str, ask: impl Fn() -> F) {
    let asking = async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, asking)
        .await
        .unwrap_or_else(|_| panic!("not in time: {what}"));
}

/// The sum of a metric over the given label value ("" = any).
pub async fn metric(relay: &Relay, name: &str, label: &str) -> u64 {
    let samples = relay.counters().await;
    assert!(
        samples.iter().any(|sample| sample.name == name),
        "no metric {name}"
    );
    let matches = samples
        .iter()
        .filter(|s| s.name == name)
        .filter(|s| label.is_empty() || s.labels.iter().any(|(_, value)| value == label));
    matches.map(|sample| sample.value).sum()
}
