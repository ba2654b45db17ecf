//! Events as requests to web servers that take them, are not there, refuse, or do not answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use hmac::{Hmac, Mac};
use relay_tests::eventually::eventually;
use relay_tests::home::Home;
use relay_tests::netns::NetNs;
use relay_tests::privileged;
use relay_tests::relay::{self, Relay};
use relay_tests::scene::Scene;
use relay_tests::topology::{CLIENT_V4, EDGE_V4, LAB_NETWORKS, SERVER_V4, Topology};
use relay_tests::trust::Trust;
use relay_userspace::api::Reloaded;
use relay_userspace::events::{Change, Event, Kind, Reason, What};
use rustls::{ServerConnection, StreamOwned};

const SECRET: &str = "between us";
const PATIENCE: Duration = Duration::from_secs(20);

/// One request of the relay.
struct Posted {
    delivery: String,
    signature: Option<String>,
    body: Vec<u8>,
    answer: Sender<&'static str>,
}

impl Posted {
    fn answer(self, status: &'static str) -> Vec<Event> {
        let events = serde_json::from_slice(&self.body).expect("a list of events");
        self.answer.send(status).expect("a connection");
        events
    }
}

/// A web server in the relay's namespace that asks the test what to answer.
fn server(scene: &Scene, address: SocketAddr) -> Receiver<Posted> {
    let bind = || Ok(TcpListener::bind(address)?);
    let listener = scene.topology.edge.enter(bind).unwrap();
    serving(listener, serve)
}

/// The same with this certificate.
fn tls_server(listener: TcpListener, trust: &Trust) -> Receiver<Posted> {
    let config = trust.server().unwrap();
    serving(listener, move |connection, told| {
        let tls = ServerConnection::new(Arc::clone(&config)).ok()?;
        serve(StreamOwned::new(tls, connection), told)
    })
}

fn serving(
    listener: TcpListener,
    serve: impl Fn(TcpStream, &Sender<Posted>) -> Option<()> + Clone + Send + 'static,
) -> Receiver<Posted> {
    let (told, posted) = channel();
    std::thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            let (told, serve) = (told.clone(), serve.clone());
            std::thread::spawn(move || serve(connection, &told));
        }
    });
    posted
}

fn serve(connection: impl Read + Write, told: &Sender<Posted>) -> Option<()> {
    let mut reader = BufReader::new(connection);
    loop {
        let (mut length, mut delivery, mut signature) = (0, String::new(), None);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let Some((name, value)) = line.trim().split_once(": ") else {
                match line.trim().is_empty() {
                    true => break,
                    false => continue,
                }
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().ok()?,
                "relay-delivery" => delivery = value.to_owned(),
                "relay-signature" => signature = Some(value.to_owned()),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let (answer, wanted) = channel();
        let posted = Posted {
            delivery,
            signature,
            body,
            answer,
        };
        told.send(posted).ok()?;
        let status = wanted.recv().ok()?;
        let text = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        reader.get_mut().write_all(text.as_bytes()).ok()?;
    }
}

fn next(posted: &Receiver<Posted>) -> Posted {
    posted.recv_timeout(PATIENCE).expect("a request")
}

/// What the signature would be.
fn signed(posted: &Posted, secret: &str) -> String {
    let given = posted.signature.as_deref().expect("a signature");
    let time = given
        .strip_prefix("t=")
        .and_then(|rest| rest.split_once(','));
    let (time, _) = time.expect("a time");
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{time}.").as_bytes());
    mac.update(&posted.body);
    let hex: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    format!("t={time},v1={hex}")
}

/// A relay with one webhook for ends and beginnings of allocations at an address nobody listens on yet.
fn scene(batch: usize) -> Option<(Scene, SocketAddr, tempfile::NamedTempFile)> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let address = SocketAddr::new(EDGE_V4.parse().unwrap(), 8080);
    let text = format!(
        "[[events.webhooks]]\nurl = \"http://{address}/hook\"\nsecret = \"{SECRET}\"\n\
         batch = {batch}\nof = [\"allocation.created\", \"allocation.ended\"]\n"
    );
    std::fs::write(file.path(), text).unwrap();
    let scene = Scene::with("off", &["--config", file.path().to_str().unwrap()])?;
    Some((scene, address, file))
}

#[test]
fn events_reach_a_webhook_signed_and_in_batches() {
    let Some((scene, address, _file)) = scene(2) else {
        return;
    };
    let posted = server(&scene, address);
    let _clients: Vec<_> = (0..5).map(|_| scene.client(CLIENT_V4, EDGE_V4)).collect();
    let mut events = Vec::new();
    while events.len() < 5 {
        let request = next(&posted);
        assert_eq!(request.signature, Some(signed(&request, SECRET)));
        let batch = request.answer("204 No Content");
        assert!((1..=2).contains(&batch.len()), "{batch:?}");
        events.extend(batch);
    }
    let created = Kind::Of(What::Allocation, Change::Created);
    assert!(events.iter().all(|event| event.event == created));
    assert!(events.is_sorted_by_key(|event| event.sequence));
    eventually("all are counted", || {
        scene.count("webhook_events", "delivered") == 5
    })
    .unwrap();
}

#[test]
fn a_webhook_that_is_down_and_then_refuses_gets_everything_once_it_takes_it() {
    let Some((scene, address, _file)) = scene(100) else {
        return;
    };
    let mut client = scene.client(CLIENT_V4, EDGE_V4);
    let failed = || scene.count("webhook_failures", "") >= 1;
    eventually("it is down", failed).unwrap();
    let posted = server(&scene, address);
    let first = next(&posted);
    let delivery = first.delivery.clone();
    first.answer("503 Service Unavailable");
    client.refresh(0).unwrap();
    let second = next(&posted);
    assert_eq!(second.delivery, delivery, "the same again");
    let events = second.answer("200 OK");
    assert_eq!(events[0].event, Kind::Of(What::Allocation, Change::Created));
    let rest = next(&posted);
    assert_ne!(rest.delivery, delivery);
    let events = rest.answer("200 OK");
    assert_eq!(events[0].reason, Some(Reason::Deleted));
}

#[test]
fn a_webhook_that_does_not_answer_holds_up_nothing_and_the_end_is_told_it_all_the_same() {
    let Some((mut scene, address, _file)) = scene(100) else {
        return;
    };
    let posted = server(&scene, address);
    let call = scene.call(CLIENT_V4, EDGE_V4, SERVER_V4);
    let silent = next(&posted);
    call.exchange(50);
    let clients: Vec<_> = (0..20).map(|_| scene.client(CLIENT_V4, EDGE_V4)).collect();
    call.exchange(50);
    // Stopping waits a moment for it, not for ever.
    scene
        .relay
        .cli(&["session", "kill", "--user", "user"])
        .unwrap();
    silent.answer("200 OK");
    let mut events = Vec::new();
    while events.len() < 2 * clients.len() + 1 {
        events.extend(next(&posted).answer("200 OK"));
    }
    let _last = scene.client(CLIENT_V4, EDGE_V4);
    let _unanswered = next(&posted);
    assert_eq!(scene.relay.stop().unwrap(), 0);
}

#[test]
fn the_next_process_tells_a_webhook_what_it_adopted() {
    if !privileged::is_root() {
        return;
    }
    let topology = Topology::new().unwrap();
    let home = Arc::new(Home::surviving().unwrap());
    let address = SocketAddr::new(EDGE_V4.parse().unwrap(), 8080);
    let file = home.path().join("relay.toml");
    let text = format!(
        "[[events.webhooks]]\nurl = \"http://{address}/\"\nof = [\"allocation\", \"channel\"]\n"
    );
    std::fs::write(&file, text).unwrap();
    let mut arguments = vec!["--config", file.to_str().unwrap(), "--xdp", "off"];
    arguments.extend(["--user", "user:password", "--realm", "lab"]);
    arguments.extend(["--allow-peer", LAB_NETWORKS[0], "--workers", "1"]);
    let relay = Relay::start_at(home, &topology.edge, &arguments).unwrap();
    let scene = Scene { topology, relay };
    let posted = server(&scene, address);
    let call = scene.call(CLIENT_V4, EDGE_V4, SERVER_V4);
    let mut created = Vec::new();
    while created.len() < 2 {
        created.extend(next(&posted).answer("200 OK"));
    }
    let Scene { topology, relay } = scene;
    let home = relay.leave().unwrap();
    let _next = Relay::start_at(home, &topology.edge, &arguments).unwrap();
    let mut adopted = Vec::new();
    while adopted.len() < 2 {
        adopted.extend(next(&posted).answer("200 OK"));
    }
    let ids = |events: &[Event]| -> Vec<_> { events.iter().map(|one| one.id).collect() };
    assert_eq!(ids(&adopted), ids(&created));
    let why = |event: &Event| event.reason == Some(Reason::Adopted);
    assert!(adopted.iter().all(why), "{adopted:?}");
    call.exchange(10);
}

#[test]
fn webhooks_come_and_change_and_go_while_the_relay_runs() {
    let Some((scene, address, file)) = scene(100) else {
        return;
    };
    let webhook = |address: SocketAddr, secret: &str| {
        format!(
            "[[events.webhooks]]\nurl = \"http://{address}/hook\"\nsecret = \"{secret}\"\n\
             of = [\"allocation.ended\"]\n"
        )
    };
    let reload = |text: &str| {
        std::fs::write(file.path(), text).unwrap();
        let done = scene.relay.cli(&["reload", "--json"]).unwrap();
        let done: Reloaded = serde_json::from_str(&done).unwrap();
        assert_eq!(done.applied, ["events.webhooks"]);
        assert!(done.needs_restart.is_empty(), "{:?}", done.needs_restart);
    };
    let second = SocketAddr::new(address.ip(), 8081);
    let (kept, new) = (server(&scene, address), server(&scene, second));
    let mut client = scene.client(CLIENT_V4, EDGE_V4);
    let created = next(&kept);

    reload(&[webhook(address, "rotated"), webhook(second, "other")].concat());
    let delivery = created.delivery.clone();
    created.answer("503 Service Unavailable");
    let again = next(&kept);
    assert_eq!(again.delivery, delivery, "what waited is not lost");
    assert_eq!(again.signature, Some(signed(&again, "rotated")));
    again.answer("200 OK");
    client.refresh(0).unwrap();
    for (posted, secret) in [(&kept, "rotated"), (&new, "other")] {
        let ended = next(posted);
        assert_eq!(ended.signature, Some(signed(&ended, secret)));
        let events = ended.answer("200 OK");
        assert_eq!(events[0].reason, Some(Reason::Deleted));
        assert_eq!(events.len(), 1, "it did not ask for beginnings: {events:?}");
    }

    reload(&webhook(second, "other"));
    scene.client(CLIENT_V4, EDGE_V4).refresh(0).unwrap();
    assert_eq!(next(&new).answer("200 OK").len(), 1);
    assert!(kept.try_recv().is_err(), "it is gone");
    assert_eq!(scene.count("event_listeners", ""), 1);
}

#[test]
fn a_webhook_over_tls_is_told_only_if_its_certificate_is_trusted() {
    if !privileged::is_root() {
        return;
    }
    let namespace = NetNs::new("hook").unwrap();
    let bind = || Ok(TcpListener::bind("127.0.0.1:0")?);
    let listener = namespace.enter(bind).unwrap();
    let address = listener.local_addr().unwrap();
    let [trust, other] = [(); 2].map(|()| Trust::new().unwrap());
    let posted = tls_server(listener, &trust);
    let file = trust.folder().join("relay.toml");
    let text = format!("[[events.webhooks]]\nurl = \"https://{address}/\"\nof = [\"drain\"]\n");
    std::fs::write(&file, text).unwrap();
    let start = |trusted: &Trust| {
        let mut command = namespace.command(relay::binary().to_str().unwrap());
        command.env("SSL_CERT_FILE", trusted.cert());
        Relay::spawn(command, &["--config", file.to_str().unwrap()]).unwrap()
    };
    let begin_drain = |relay: &Relay| relay.follow(&["drain", "--until", "0"]).unwrap();

    let doubtful = start(&other);
    let mut drain = begin_drain(&doubtful);
    drain.exit().unwrap();
    drop(doubtful);
    assert!(posted.try_recv().is_err(), "a stranger is told nothing");

    let relay = start(&trust);
    let mut drain = begin_drain(&relay);
    let events = next(&posted).answer("200 OK");
    assert_eq!(events[0].event, Kind::Of(What::Drain, Change::Created));
    drain.exit().unwrap();
}
