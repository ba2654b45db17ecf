//! What the relay lets through to whom, and that nothing else is reached by any spelling.

use relay_userspace::config::HostHeader;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Echo, Raw, ask, connect, rest, route, say, serving};
use crate::setup::{config, relay};

#[tokio::test]
async fn a_request_arrives_as_it_was_with_what_the_relay_knows_of_the_client() {
    let echo = Echo::default();
    let origin = echo.start().await;
    let relay = serving(vec![route("/", &[origin])]).await;
    let head = "POST /a%20b?token=1\r\nX-Own: kept\r\nX-Forwarded-For: 10.9.9.9\r\nForwarded: for=10.9.9.9\r\nProxy-Authorization: Basic eA==\r\nTE: trailers\r\nContent-Length: 4";
    let answer = ask(&relay, head, "body").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        answer.body,
        "POST /a%20b?token=1\n\
         content-length: 4\n\
         forwarded: for=127.0.0.1;host=\"relay.test\";proto=https\n\
         host: relay.test\n\
         x-forwarded-for: 127.0.0.1\n\
         x-forwarded-host: relay.test\n\
         x-forwarded-proto: https\n\
         x-own: kept\n\nbody"
    );
    relay.shutdown().await;
}

#[tokio::test]
async fn an_origin_may_be_told_its_own_name() {
    let origin = Echo::default().start().await;
    let mut own = route("/", &[origin]);
    own.host_header = HostHeader::Origin;
    let relay = serving(vec![own]).await;
    let answer = ask(&relay, "GET /", "").await;
    assert!(
        answer.body.contains(&format!("\nhost: {origin}\n")),
        "{answer:?}"
    );
    assert!(
        answer.body.contains("x-forwarded-host: relay.test"),
        "{answer:?}"
    );
    relay.shutdown().await;
}

#[tokio::test]
async fn nothing_is_reached_but_what_is_listed() {
    let (listed, secret) = (Echo::default(), Echo::default());
    let (open, closed) = (listed.start().await, secret.start().await);
    let relay = serving(vec![route("/api", &[open])]).await;
    let port = closed.port();
    for (request, status) in [
        (
            format!("GET http://127.0.0.1:{port}/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"),
            404,
        ),
        (
            format!("GET http://127.0.0.1:{port}/api HTTP/1.1\r\nHost: relay.test\r\n"),
            400,
        ),
        (
            format!("GET http://relay.test@127.0.0.1:{port}/api HTTP/1.1\r\nHost: relay.test\r\n"),
            400,
        ),
        (
            format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"),
            405,
        ),
        (
            format!("GET /api HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"),
            404,
        ),
        (
            format!("GET /api HTTP/1.1\r\nHost: relay.test\r\nHost: 127.0.0.1:{port}\r\n"),
            400,
        ),
        (
            format!("GET //127.0.0.1:{port}/api HTTP/1.1\r\nHost: relay.test\r\n"),
            404,
        ),
        ("GET / HTTP/1.1\r\nHost: relay.test\r\n".to_owned(), 404),
        ("GET /apis HTTP/1.1\r\nHost: relay.test\r\n".to_owned(), 404),
        (
            "GET /api/../secret HTTP/1.1\r\nHost: relay.test\r\n".to_owned(),
            400,
        ),
        (
            "GET /api/%2e%2e/secret HTTP/1.1\r\nHost: relay.test\r\n".to_owned(),
            400,
        ),
        (
            "GET /api/..%2fsecret HTTP/1.1\r\nHost: relay.test\r\n".to_owned(),
            400,
        ),
        (
            "GET /api/%252e%252e/secret HTTP/1.1\r\nHost: relay.test\r\n".to_owned(),
            400,
        ),
        (
            "GET /api/..%c0%afsecret HTTP/1.1\r\nHost: relay.test\r\n".to_owned(),
            400,
        ),
        (
            "GET /%61pi HTTP/1.1\r\nHost: relay.test\r\n".to_owned(),
            404,
        ),
        ("OPTIONS * HTTP/1.1\r\nHost: relay.test\r\n".to_owned(), 400),
        (
            "TRACE /api HTTP/1.1\r\nHost: relay.test\r\n".to_owned(),
            405,
        ),
        ("GET /api HTTP/1.1\r\n".to_owned(), 400),
        ("GET /api HTTP/1.0\r\n".to_owned(), 400),
    ] {
        let answer = say(&relay, &format!("{request}Connection: close\r\n\r\n")).await;
        let answer = answer.unwrap_or_else(|| panic!("no answer to {request}"));
        assert_eq!(answer.status, status, "{request}: {answer:?}");
    }
    assert_eq!(listed.asked(), Vec::<String>::new());
    assert_eq!(secret.asked(), Vec::<String>::new());
    relay.shutdown().await;
}

#[tokio::test]
async fn an_escape_does_not_choose_another_route() {
    let (all, few) = (Echo::default(), Echo::default());
    let routes = vec![
        route("/", &[all.start().await]),
        route("/few", &[few.start().await]),
    ];
    let relay = serving(routes).await;
    for path in ["/f%65w/x", "//few/x", "/x;y/..%5Cfew", "/few;x/y"] {
        let answer = ask(&relay, &format!("GET {path}"), "").await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "bad_path"),
            "{path}"
        );
    }
    assert_eq!(ask(&relay, "GET /other%20one//x", "").await.status, 200);
    assert_eq!((all.asked().len(), few.asked().len()), (1, 0));
    relay.shutdown().await;
}

#[tokio::test]
async fn a_redirect_is_passed_on_and_never_followed() {
    let secret = Echo::default();
    let target = secret.start().await;
    let origin = Raw::default()
        .start(move |mut stream| async move {
            let answer = format!(
                "HTTP/1.1 302 Found\r\nLocation: http://{target}/\r\nContent-Length: 0\r\n\r\n"
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        })
        .await;
    let relay = serving(vec![route("/", &[origin])]).await;
    let answer = ask(&relay, "GET /", "").await;
    assert_eq!(answer.status, 302);
    assert_eq!(
        answer.header("location"),
        Some(format!("http://{target}/").as_str())
    );
    assert_eq!(secret.asked().len(), 0);
    relay.shutdown().await;
}

#[tokio::test]
async fn without_tls_nothing_is_served_unless_a_balancer_ends_it() {
    let echo = Echo::default();
    let origin = echo.start().await;
    for (allow, expected) in [(false, 403), (true, 200)] {
        let mut config = config();
        config.signaling.routes = vec![route("/", &[origin])];
        config.signaling.allow_plain = allow;
        config.signaling.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        let relay = relay(config).await;
        let server = relay.status().listen_tls[0];
        let mut tcp = tokio::net::TcpStream::connect(server).await.unwrap();
        let request = "GET / HTTP/1.1\r\nHost: relay.test\r\nX-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n";
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {expected}")),
            "{answer}"
        );
        relay.shutdown().await;
    }
    let asked = echo.asked().concat();
    assert!(
        asked.contains("x-forwarded-for: 198.51.100.7, 127.0.0.1"),
        "{asked}"
    );
    assert!(asked.contains("x-forwarded-proto: https"), "{asked}");
}

#[tokio::test]
async fn pages_that_are_not_listed_may_not_ask() {
    let mut listed = route("/", &[Echo::default().start().await]);
    listed.allow_origins = vec!["https://app.example".to_owned()];
    let relay = serving(vec![listed]).await;
    for (field, status) in [
        ("Origin: https://app.example", 200),
        ("X-No-Origin: 1", 200),
        ("Origin: https://app.example.evil", 403),
        ("Origin: null", 403),
    ] {
        let answer = ask(&relay, &format!("GET /\r\n{field}"), "").await;
        assert_eq!(answer.status, status, "{field}");
    }
    relay.shutdown().await;
}

#[tokio::test]
async fn other_routes_take_effect_while_a_connection_goes_on() {
    let (one, two) = (Echo::default(), Echo::default());
    let mut config = config();
    config.signaling.routes = vec![route("/one", &[one.start().await])];
    let relay = relay(config.clone()).await;
    let mut stream = connect(&relay).await;
    let request = "GET /two HTTP/1.1\r\nHost: relay.test\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut first = Vec::new();
    while !first.ends_with(b"}") {
        first.push(stream.read_u8().await.unwrap());
    }
    assert!(first.starts_with(b"HTTP/1.1 404"));
    config.signaling.routes = vec![route("/two", &[two.start().await])];
    let next = relay.prepare_web(&config).unwrap();
    relay.adopt_web(next);
    let request = "GET /two HTTP/1.1\r\nHost: relay.test\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let answers = rest(&mut stream).await.unwrap();
    assert_eq!(answers.status, 200, "{answers:?}");
    assert_eq!((one.asked().len(), two.asked().len()), (0, 1));
    relay.shutdown().await;
}
