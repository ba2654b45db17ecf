//! HTTPS and a WebSocket to the relay, as signaling needs them.

use std::io;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use http_body_util::Full;
use hyper::{Request, StatusCode};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::report::{Check, Spread};
use super::subject::Subject;
use crate::https::Https;

const LONGEST: Duration = Duration::from_secs(4);
/// To connect, for a WebSocket; and for all that it says.
const HALF: Duration = Duration::from_secs(2);
const REQUESTS: usize = 5;
const MESSAGES: usize = 10;
const TEXT: &str = "how long does this take, there and back, as short as signaling is";

pub async fn both(subject: &Subject, tell: &dyn Fn(&Check)) -> Vec<Check> {
    let told = |check: Check| {
        tell(&check);
        check
    };
    let https = async { told(https(subject).await) };
    let websocket = async { told(websocket(subject).await) };
    let (https, websocket) = tokio::join!(https, websocket);
    vec![https, websocket]
}

async fn https(subject: &Subject) -> Check {
    let place = place(subject);
    let check = Check::of("https", &place);
    let question = &subject.question;
    let https = Https::named(question.tls.clone(), question.name.clone());
    let asked = timeout(LONGEST, async {
        let mut times = Vec::new();
        let mut last = StatusCode::OK;
        // The first one pays for the connection.
        for number in 0..=REQUESTS {
            let request = Request::get(format!("https://{place}/v1/health"));
            let request = request.body(Full::default()).map_err(|e| e.to_string())?;
            let began = Instant::now();
            let (status, _) = https
                .ask(request, LONGEST)
                .await
                .map_err(|e| e.to_string())?;
            last = status;
            if number > 0 {
                times.push(began.elapsed());
            }
        }
        Ok::<_, String>((last, Spread::of(times)))
    });
    let late = || Err(format!("no answer within {} s", LONGEST.as_secs()));
    match asked.await.unwrap_or_else(|_| late()) {
        Ok((StatusCode::OK, spread)) => check.works("answers").timed(spread),
        Ok((status, spread)) => check.works(format!("answers {status}")).timed(spread),
        Err(fault) => check.fails(fault),
    }
}

async fn websocket(subject: &Subject) -> Check {
    let place = place(subject);
    let check = Check::of("websocket", &place);
    let stream = match timeout(HALF, connect(subject)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return check.fails(format!("connect: {error}")),
        Err(_) => return check.fails(format!("no connection within {} s", HALF.as_secs())),
    };
    let asked = timeout(HALF, async {
        let url = format!("wss://{place}/v1/check/echo");
        let (mut socket, _) = client_async(url, stream).await?;
        let mut times = Vec::new();
        for _ in 0..MESSAGES {
            let began = Instant::now();
            socket.send(Message::text(TEXT)).await?;
            let heard = socket.next().await.ok_or(Error::ConnectionClosed)??;
            if !heard.is_text() {
                return Err(Error::ConnectionClosed);
            }
            times.push(began.elapsed());
        }
        // All that was to be heard was heard.
        let _ = socket.close(None).await;
        Ok(Spread::of(times))
    });
    match asked.await {
        Ok(Ok(spread)) => check
            .works(format!("{MESSAGES} messages came back"))
            .timed(spread),
        Ok(Err(Error::Http(answer))) if answer.status() == StatusCode::NOT_FOUND => {
            check.skipped("the relay has no echo (api.check)")
        }
        Ok(Err(fault)) => check.fails(format!(
            "{fault}: something on the way may not let WebSockets through"
        )),
        Err(_) => check.fails(format!("nothing came back within {} s", HALF.as_secs())),
    }
}

/// By the first address that takes the connection.
async fn connect(subject: &Subject) -> io::Result<TlsStream<TcpStream>> {
    let question = &subject.question;
    let tcp = TcpStream::connect((question.host.as_str(), question.tls_port)).await?;
    tcp.set_nodelay(true)?;
    let secure = question.secure(tcp.peer_addr()?, b"http/1.1");
    secure.over(tcp).await
}

fn place(subject: &Subject) -> String {
    let (host, port) = (&subject.question.host, subject.question.tls_port);
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}
