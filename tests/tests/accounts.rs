//! Accounts on a running relay, in the kernel and in userspace: totals shared out, credentials that end sessions, secrets
//! that change while packets flow.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use relay_tests::client::TurnClient;
use relay_tests::packet::channel_data;
use relay_tests::scene::{CHANNEL, Scene};
use relay_tests::topology::{CLIENT_V4, EDGE_V4, SERVER_V4};
use relay_userspace::config::Auth;
use relay_userspace::credentials::Credentials;
use relay_userspace::secret::Secret;

const BYTES: usize = 500;

fn unix() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// The name and password of a user of `secret`, good for `seconds`.
fn minted(secret: &str, name: &str, seconds: u64) -> (String, String) {
    let credentials = Credentials::new(&Auth {
        secrets: vec![Secret::new(secret.to_owned())],
        ..Auth::default()
    });
    let ttl = Duration::from_secs(seconds);
    credentials.mint(name, ttl, unix().as_secs()).unwrap()
}

fn try_client(scene: &Scene, (user, password): &(String, String)) -> anyhow::Result<TurnClient> {
    let [client, edge] = [CLIENT_V4, EDGE_V4].map(|a| a.parse::<IpAddr>().unwrap());
    let socket = scene
        .topology
        .client
        .enter(|| Ok(UdpSocket::bind((client, 0))?))?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    TurnClient::allocate(socket, SocketAddr::new(edge, 3478), user, password)
}

/// A client of its own with a channel to `peer`.
fn client(scene: &Scene, login: &(String, String), peer: &UdpSocket) -> TurnClient {
    let mut client = try_client(scene, login).unwrap();
    client.bind(CHANNEL, peer.local_addr().unwrap()).unwrap();
    client
}

struct Written(std::path::PathBuf);

impl Written {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("relay-accounts-{}-{name}", std::process::id());
        let file = Self(std::env::temp_dir().join(name));
        file.write(text);
        file
    }

    fn write(&self, text: &str) {
        std::fs::write(&self.0, text).unwrap();
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Bits a second of each client's that arrive at the peer, over the last three of five seconds. `offers`: packets a second.
fn arriving(clients: &[TurnClient], offers: &[u32], peer: &UdpSocket) -> Vec<f64> {
    let frame = channel_data(CHANNEL, &[7; BYTES], 0);
    peer.set_nonblocking(true).unwrap();
    let start = Instant::now();
    let mut sent = vec![0u32; clients.len()];
    let mut counted: HashMap<SocketAddr, u32> = HashMap::new();
    let mut since = None;
    let mut buffer = [0; 2048];
    while start.elapsed() < Duration::from_secs(5) {
        for (nth, client) in clients.iter().enumerate() {
            if f64::from(sent[nth]) < start.elapsed().as_secs_f64() * f64::from(offers[nth]) {
                client.socket.send(&frame).unwrap();
                sent[nth] += 1;
            }
        }
        let counts = start.elapsed() > Duration::from_secs(2);
        if counts {
            since.get_or_insert_with(Instant::now);
        }
        while let Ok((_, from)) = peer.recv_from(&mut buffer) {
            *counted.entry(from).or_default() += u32::from(counts);
        }
    }
    let seconds = since.unwrap().elapsed().as_secs_f64();
    let bits = |client: &TurnClient| {
        let count = counted.get(&client.relayed).copied().unwrap_or(0);
        f64::from(count) * (BYTES * 8) as f64 / seconds
    };
    clients.iter().map(bits).collect()
}

fn near(what: &str, measured: f64, wanted: f64) {
    println!("{what}: {measured:.0} bit/s of {wanted:.0}");
    assert!(
        (measured / wanted - 1.0).abs() < 0.05,
        "{what}: {measured:.0} bit/s instead of {wanted:.0}"
    );
}

fn a_total_is_shared_out(xdp: &str, runs_in: &str) {
    let config = Written::new(
        runs_in,
        "[rates]\nburst = \"100ms\"\ntotal_bits = \"6M\"\n[[auth.shared]]\nid = \"web\"\nsecrets = [\"of the web\"]\nbits = \"1M\"\n[[auth.shared]]\nid = \"app\"\nsecrets = [\"of the app\"]\n",
    );
    let Some(scene) = Scene::with(xdp, &["--config", config.path()]) else {
        return;
    };
    let peer = scene.peer(SERVER_V4);
    let logins = [
        minted("of the app", "greedy", 600),
        minted("of the app", "greedier", 600),
        minted("of the app", "modest", 600),
        minted("of the web", "one", 600),
    ];
    let clients = logins.map(|login| client(&scene, &login, &peer));
    if runs_in == "kernel" {
        scene.wait_for_kernel();
    }
    let got = arriving(&clients, &[1000, 1400, 250, 700], &peer);
    near("modest", got[2], 1e6);
    near("of the limited group", got[3], 1e6);
    near("greedy", got[0], 2e6);
    near("greedier", got[1], 2e6);
    near("together", got.iter().sum(), 6e6);
    let runs = scene.relay.sessions().unwrap();
    assert!(runs.iter().all(|session| session.runs_in == runs_in));
    let listed = scene
        .relay
        .cli(&["user", "show", "modest", "--json"])
        .unwrap();
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(
        (&listed["allocations"], &listed["channels"]),
        (&1.into(), &1.into())
    );
    assert!(
        listed["to_peer"]["bytes"].as_u64() > Some(500_000),
        "{listed}"
    );
    assert!(scene.relay.cli(&["user", "show", "nobody"]).is_err());
}

#[test]
fn a_total_is_shared_out_fairly_in_the_kernel() {
    a_total_is_shared_out("native", "kernel");
}

#[test]
fn a_total_is_shared_out_fairly_in_userspace() {
    a_total_is_shared_out("off", "userspace");
}

fn nothing_passes_after_the_credential(xdp: &str, runs_in: &str) {
    let config = Written::new(
        &format!("strict-{runs_in}"),
        "[auth]\nstrict_expiry = true\n",
    );
    let more = ["--config", config.path(), "--secret", "s"];
    let Some(scene) = Scene::with(xdp, &more) else {
        return;
    };
    let peer = scene.peer(SERVER_V4);
    let (user, password) = minted("s", "ann", 6);
    let ends = Duration::from_secs(user.split(':').next().unwrap().parse().unwrap());
    let client = client(&scene, &(user, password), &peer);
    if runs_in == "kernel" {
        scene.wait_for_kernel();
    }
    peer.set_nonblocking(true).unwrap();
    client.socket.set_nonblocking(true).unwrap();
    let (mut at_peer, mut at_client) = (Vec::new(), Vec::new());
    let mut buffer = [0; 2048];
    let stamp = |bytes: &[u8]| Duration::from_nanos(u64::from_be_bytes(bytes.try_into().unwrap()));
    let (start, mut count) = (Instant::now(), 0);
    while unix() < ends + Duration::from_secs(1) {
        if start.elapsed() < Duration::from_micros(500) * count {
            std::hint::spin_loop();
            continue;
        }
        count += 1;
        let sent = (unix().as_nanos() as u64).to_be_bytes();
        client
            .socket
            .send(&channel_data(CHANNEL, &sent, 0))
            .unwrap();
        peer.send_to(&sent, client.relayed).unwrap();
        while let Ok((8, _)) = peer.recv_from(&mut buffer) {
            at_peer.push(stamp(&buffer[..8]));
        }
        while let Ok(12) = client.socket.recv(&mut buffer) {
            at_client.push(stamp(&buffer[4..12]));
        }
    }
    for (what, sent) in [("the peer", at_peer), ("the client", at_client)] {
        let last = *sent
            .iter()
            .max()
            .unwrap_or_else(|| panic!("nothing at {what}"));
        println!(
            "{what}: {} packets, the last sent {:?} before the end",
            sent.len(),
            ends.saturating_sub(last)
        );
        assert!(
            last < ends,
            "{what} got a packet sent {:?} after",
            last - ends
        );
        assert!(
            ends - last < Duration::from_millis(100),
            "{what}: cut {:?} early",
            ends - last
        );
    }
    let left = scene.relay.sessions().unwrap();
    assert!(left.is_empty(), "{left:#?}");
}

#[test]
fn with_strict_expiry_the_kernel_lets_nothing_pass_after_the_credential() {
    nothing_passes_after_the_credential("native", "kernel");
}

#[test]
fn with_strict_expiry_userspace_lets_nothing_pass_after_the_credential() {
    nothing_passes_after_the_credential("off", "userspace");
}

#[test]
fn secrets_change_while_packets_flow_and_only_users_of_the_one_that_went_lose_their_session() {
    let secrets = Written::new("secrets", "old\nkept\n");
    let Some(scene) = Scene::with("native", &["--secret-file", secrets.path()]) else {
        return;
    };
    let peer = scene.peer(SERVER_V4);
    let logins = ["old", "kept"].map(|secret| minted(secret, secret, 600));
    let clients = logins.map(|login| client(&scene, &login, &peer));
    scene.wait_for_kernel();
    let new = minted("new", "new", 600);
    assert!(try_client(&scene, &new).is_err());
    let passes = |client: &TurnClient| {
        client.send(CHANNEL, b"data").unwrap();
        let mut buffer = [0; 64];
        peer.set_read_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        matches!(peer.recv_from(&mut buffer), Ok((4, from)) if from == client.relayed)
    };
    let before: Vec<_> = scene
        .relay
        .sessions()
        .unwrap()
        .iter()
        .map(|s| s.id)
        .collect();
    for (text, applied) in [("new\nold\nkept\n", true), ("new\nold\nkept\n", false)] {
        secrets.write(text);
        let done = scene.relay.cli(&["reload", "--json"]).unwrap();
        assert_eq!(done.contains("auth.secrets"), applied, "{done}");
        assert!(clients.iter().all(passes));
    }
    let now: Vec<_> = scene
        .relay
        .sessions()
        .unwrap()
        .iter()
        .map(|s| s.id)
        .collect();
    assert_eq!(before, now);
    let renewed = client(&scene, &new, &peer);
    assert!(passes(&renewed));

    secrets.write("# nothing\n");
    assert!(
        scene.relay.cli(&["reload"]).is_err(),
        "a file without a secret"
    );
    assert!(clients.iter().all(passes));

    secrets.write("new\nkept\n");
    scene.relay.cli(&["reload"]).unwrap();
    assert!(!passes(&clients[0]) && passes(&clients[1]) && passes(&renewed));
}
