//! The life of one connection: whom it is from, what it speaks, and until when. Relays nothing itself.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, interval_at, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connection::{Connection, Joined};
use super::gate::{Full, Place};
use super::joined;
use super::prefixed::Prefixed;
use crate::net::control::Request;
use crate::net::stats::Stat;
use crate::net::worker::Worker;
use crate::stream::opening::{Speaker, by_alpn, by_first_byte};
use crate::stream::proxied::{self, Header};
use crate::turn::{FiveTuple, Transport};
use crate::web::{self, Asker};

/// Reads of one connection before others of the worker have their turn.
const TURN: usize = 8;

/// What a connection turned out to be.
enum Opened {
    Turn(Box<Connection>),
    Http(Prefixed<TcpStream>, Asker, Place),
    Https(Box<Prefixed<TlsStream<TcpStream>>>, Asker, Place),
}

/// Why it is closed before it is anything.
enum Refused {
    Full(Full),
    Header(proxied::Malformed),
    Handshake(io::Error),
    /// Its first bytes are of no protocol spoken here.
    Unknown,
    /// It went away by itself.
    Gone,
}

/// Serves one connection to its end.
pub async fn connection(worker: Rc<Worker>, tcp: TcpStream, from: SocketAddr) {
    let patience = worker.streams().patience;
    let deadline = Instant::now() + patience;
    let refused = match timeout_at(deadline, open(&worker, tcp, from)).await {
        Ok(Ok(Opened::Turn(connection))) => {
            return turn(&worker, Rc::new(*connection), deadline, patience).await;
        }
        Ok(Ok(Opened::Http(io, asker, place))) => return http(&worker, io, asker, place).await,
        Ok(Ok(Opened::Https(io, asker, place))) => return http(&worker, *io, asker, place).await,
        Ok(Err(refused)) => refused,
        Err(_) => return worker.stats().add(Stat::StreamRefusedSlow, 1),
    };
    let stat = match refused {
        Refused::Full(Full::Total) => Stat::StreamRefusedTotal,
        Refused::Full(Full::Prefix) => Stat::StreamRefusedPrefix,
        Refused::Full(Full::Handshakes) => Stat::StreamRefusedHandshakes,
        Refused::Header(malformed) => {
            tracing::debug!(%from, %malformed, "a balancer's connection");
            Stat::StreamRefusedProxyHeader
        }
        Refused::Handshake(error) => {
            tracing::debug!(%from, %error, "TLS handshake");
            Stat::StreamRefusedHandshake
        }
        Refused::Unknown => Stat::StreamRefusedUnknown,
        Refused::Gone => return,
    };
    worker.stats().add(stat, 1);
}

async fn open(worker: &Worker, mut tcp: TcpStream, from: SocketAddr) -> Result<Opened, Refused> {
    let streams = worker.streams();
    let mut place = streams.gate.enter().map_err(|full| reset(&tcp, full))?;
    let mut client = SocketAddr::new(from.ip().to_canonical(), from.port());
    let server = tcp.local_addr()?;
    if streams.proxies.iter().any(|net| net.contains(&client.ip())) {
        client = proxied(&mut tcp).await?.unwrap_or(client);
    }
    place.of(client.ip()).map_err(|full| reset(&tcp, full))?;
    let mut first = [0];
    if tcp.peek(&mut first).await? == 0 {
        return Err(Refused::Gone);
    }
    let tuple = |transport| FiveTuple {
        client,
        server,
        transport,
    };
    let limits = streams.queue;
    match by_first_byte(first[0]).ok_or(Refused::Unknown)? {
        Speaker::Turn => {
            let tuple = tuple(Transport::Tcp);
            let connection = Connection::new(tuple, tcp, None, Vec::new(), limits, place);
            Ok(Opened::Turn(Box::new(connection)))
        }
        Speaker::Http => {
            let secure = false;
            let place = page(worker, &tcp, client)?;
            let tcp = Prefixed::new(tcp, None);
            Ok(Opened::Http(tcp, Asker { client, secure }, place))
        }
        Speaker::Tls => {
            let began = streams.gate.handshake(client.ip(), Instant::now().into());
            began.map_err(|full| reset(&tcp, full))?;
            secured(worker, tcp, tuple(Transport::Tls), place).await
        }
    }
}

async fn secured(
    worker: &Worker,
    tcp: TcpStream,
    tuple: FiveTuple,
    place: Place,
) -> Result<Opened, Refused> {
    let streams = worker.streams();
    let acceptor = TlsAcceptor::from(streams.tls.config());
    let mut tls = acceptor.accept(tcp).await.map_err(Refused::Handshake)?;
    let (speaker, first) = match by_alpn(tls.get_ref().1.alpn_protocol()) {
        Some(speaker) => (speaker, None),
        None => {
            let first = tls.read_u8().await?;
            let speaker = by_first_byte(first).ok_or(Refused::Unknown)?;
            (speaker, Some(first))
        }
    };
    match speaker {
        Speaker::Turn => {
            let (tcp, tls) = tls.into_inner();
            let begun = first.into_iter().collect();
            let connection = Connection::new(tuple, tcp, Some(tls), begun, streams.queue, place);
            Ok(Opened::Turn(Box::new(connection)))
        }
        Speaker::Http => {
            let (client, secure) = (tuple.client, true);
            let place = page(worker, tls.get_ref().0, client)?;
            let tls = Box::new(Prefixed::new(tls, first));
            Ok(Opened::Https(tls, Asker { client, secure }, place))
        }
        Speaker::Tls => Err(Refused::Unknown),
    }
}

/// It speaks HTTP: a place among those that do, and the queues they want.
fn page(worker: &Worker, tcp: &TcpStream, client: SocketAddr) -> Result<Place, Refused> {
    web::connection::widen(tcp)?;
    let mut place = worker
        .streams()
        .pages
        .enter()
        .map_err(|full| reset(tcp, full))?;
    place.of(client.ip()).map_err(|full| reset(tcp, full))?;
    Ok(place)
}

async fn http<I>(worker: &Worker, io: I, asker: Asker, place: Place)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    worker.stats().add(Stat::StreamHttp, 1);
    let web = Arc::clone(&worker.streams().web);
    let setup = worker.streams().patience;
    web::connection::serve(web, worker.index(), io, asker, place, setup).await;
}

/// Whom a balancer speaks for; `None`: for itself.
async fn proxied(tcp: &mut TcpStream) -> Result<Option<SocketAddr>, Refused> {
    let mut header = Vec::new();
    loop {
        match proxied::read(&header).map_err(Refused::Header)? {
            Header::Of(client) => return Ok(client),
            Header::Wants(more) => {
                let have = header.len();
                header.resize(have + more, 0);
                tcp.read_exact(&mut header[have..]).await?;
            }
        }
    }
}

/// Closed at once and for good: nothing of it stays behind here.
fn reset(tcp: &TcpStream, full: Full) -> Refused {
    let _ = SockRef::from(tcp).set_linger(Some(Duration::ZERO));
    Refused::Full(full)
}

impl From<io::Error> for Refused {
    fn from(_: io::Error) -> Refused {
        Refused::Gone
    }
}

async fn turn(
    worker: &Rc<Worker>,
    connection: Rc<Connection>,
    deadline: Instant,
    patience: Duration,
) {
    worker.with_driver(|driver, context| driver.open_stream(context, &connection));
    let stat = converse(worker, &connection, deadline, patience).await;
    worker.stats().add(stat, 1);
    connection.close();
    worker.with_driver(|driver, context| driver.close_stream(context, &connection));
}

/// Until it ends, and how it did.
async fn converse(
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    deadline: Instant,
    patience: Duration,
) -> Stat {
    let mut checks = interval_at(deadline, patience);
    // What came with the handshake makes no socket readable.
    let mut readable = true;
    loop {
        if let Some((joined, early)) = connection.take_joined() {
            return spliced(worker, connection, joined, early).await;
        }
        if readable && let Err(error) = read(worker, connection) {
            return match error.kind() {
                io::ErrorKind::InvalidData => Stat::StreamEndedMalformed,
                _ => Stat::StreamEndedByClient,
            };
        }
        tokio::select! {
            ready = connection.ready() => match ready {
                Ok(ready) => {
                    readable = ready.is_readable() || ready.is_read_closed();
                    if ready.is_writable() {
                        connection.unblock();
                        connection.flush(std::time::Instant::now(), worker.stats());
                    }
                }
                Err(_) => return Stat::StreamEndedBroken,
            },
            _ = checks.tick() => {
                if !worker.with_driver(|driver, _| driver.server().serves(&connection.tuple())) {
                    return Stat::StreamEndedIdle;
                }
                readable = false;
            }
        }
    }
}

async fn spliced(
    worker: &Rc<Worker>,
    connection: &Connection,
    joined: Joined,
    early: Vec<u8>,
) -> Stat {
    let Joined {
        connection: id,
        home,
        peer,
    } = joined;
    let ended = joined::run(worker, connection, peer, early).await;
    if let Some(home) = worker.peer_worker(home) {
        // Gone with its thread, it needs to know nothing.
        let _ = home.send(Request::PeerGone(id));
    }
    match ended {
        Ok(()) => Stat::StreamEndedByClient,
        Err(error) => {
            tracing::debug!(%error, client = %connection.tuple().client, "a data connection");
            Stat::StreamEndedBroken
        }
    }
}

/// Reads until nothing is there, or others have their turn.
fn read(worker: &Rc<Worker>, connection: &Rc<Connection>) -> io::Result<()> {
    for _ in 0..TURN {
        let read = worker.guard(|| worker.read_stream(connection));
        match read.unwrap_or(Err(io::ErrorKind::Other.into())) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
