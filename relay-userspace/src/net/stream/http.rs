//! HTTP on the port TURN shares: the one place where what is served there is chosen. Today nothing is.

use std::convert::Infallible;
use std::future::ready;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};

use super::local::Local;

/// A head as browsers send it fits twice.
const LARGEST_HEAD: usize = 16 << 10;

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    pub client: SocketAddr,
    pub secure: bool,
}

/// Serves HTTP/1.1 or h2 until the client goes, at most for `patience`.
pub async fn serve<I>(io: I, origin: Origin, patience: Duration)
where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let mut builder = auto::Builder::new(Local);
    builder.http1().max_buf_size(LARGEST_HEAD).keep_alive(false);
    builder.http2().max_concurrent_streams(8);
    let answer = service_fn(|request| ready(Ok::<_, Infallible>(answer(origin, &request))));
    let connection = builder.serve_connection(TokioIo::new(io), answer);
    // Whoever broke off or was too slow knows best why.
    let _ = tokio::time::timeout(patience, connection).await;
}

fn answer(origin: Origin, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    tracing::debug!(client = %origin.client, secure = origin.secure, path = request.uri().path(), "HTTP");
    let mut response = Response::new(Full::from("relay: nothing is served here\n"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}
