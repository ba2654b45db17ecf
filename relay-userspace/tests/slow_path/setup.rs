//! A relay on loopback, and endpoints that wait with a deadline.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use relay_userspace::config::{
    Admin, Auth, Config, Destination, Forward, Kernel, Limits, Listen, Metrics, Peers,
    RelayAddresses, User, XdpMode,
};
use relay_userspace::relay::Relay;
use relay_userspace::secret::Secret;
use tokio::net::UdpSocket;

/// Far beyond what loopback takes, even on a loaded machine.
pub const DEADLINE: Duration = Duration::from_secs(20);
pub const USER: &str = "alice";
pub const PASSWORD: &str = "wonderland";

/// Loopback may be reached; every port is chosen by the kernel or the pool.
pub fn config() -> Config {
    Config {
        listen: Listen {
            udp: vec![addr("127.0.0.1:0")],
        },
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
        },
        peers: Peers {
            allow: vec!["127.0.0.0/8".parse().expect("network")],
            deny: Vec::new(),
        },
        limits: Limits {
            allocations: 1000,
            allocations_per_user: 1000,
            permissions_per_allocation: 256,
            channels_per_allocation: 256,
            max_lifetime: Duration::from_secs(3600),
            unauthenticated_per_second: 10_000,
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

pub fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// One end of a conversation.
pub struct Endpoint {
    socket: UdpSocket,
}

impl Endpoint {
    pub async fn new() -> Endpoint {
        Endpoint::at("127.0.0.1:0").await
    }

    pub async fn at(address: &str) -> Endpoint {
        let socket = UdpSocket::bind(address).await.expect("a socket");
        Endpoint { socket }
    }

    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("bound")
    }

    pub async fn send(&self, to: SocketAddr, bytes: &[u8]) {
        self.socket.send_to(bytes, to).await.expect("sent");
    }

    /// The next datagram and who sent it.
    pub async fn receive(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = vec![0; 1 << 16];
        let received = tokio::time::timeout(DEADLINE, self.socket.recv_from(&mut buffer)).await;
        let (len, from) = received.expect("a datagram in time").expect("received");
        buffer.truncate(len);
        (buffer, from)
    }

    /// Whether a datagram waits. Only after something that proves that it would be here by now.
    pub fn is_empty(&self) -> bool {
        self.socket.try_recv_from(&mut [0; 1]).is_err()
    }
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
