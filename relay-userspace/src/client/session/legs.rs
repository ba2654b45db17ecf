//! The sockets of a session: a UDP socket, and a TLS connection with a task of its own. Decides nothing.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::io::AsyncWriteExt;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::outbox::{Brake, Outbox};
use crate::client::secure::{Messages, SecureServer};
use crate::client::udp;

/// Messages that came and wait for the session.
const WAITING: usize = 256;

#[derive(Debug)]
pub(super) struct Udp(UdpSocket);

impl Udp {
    pub async fn open(server: SocketAddr) -> io::Result<Self> {
        Ok(Self(udp::connected(server).await?))
    }

    /// False: the card has no room now, as any router may not.
    pub fn send(&self, message: &[u8]) -> io::Result<bool> {
        match self.0.try_send(message) {
            Ok(_) => Ok(true),
            Err(error) if is_passing(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub async fn receive(&self, into: &mut [u8]) -> io::Result<usize> {
        self.0.recv(into).await
    }
}

/// Of one datagram, not of the path: too long for it as well, which its probes find out.
fn is_passing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
        || matches!(
            error.raw_os_error(),
            Some(libc::ENOBUFS | libc::EMSGSIZE | libc::EPERM)
        )
}

#[derive(Debug)]
pub(super) enum News {
    Opened,
    Message(Vec<u8>),
    Failed(String),
}

/// Its connection ends with it.
#[derive(Debug)]
pub(super) struct Secure {
    outbox: Arc<Outbox>,
    pub news: mpsc::Receiver<News>,
    task: JoinHandle<()>,
}

impl Secure {
    pub fn open(server: SecureServer) -> Self {
        let outbox = Arc::new(Outbox::new());
        let (told, news) = mpsc::channel(WAITING);
        let outgoing = Arc::clone(&outbox);
        let task = tokio::spawn(async move {
            let Err(error) = converse(&server, &outgoing, &told).await;
            let fault = format!("TLS to {}: {error}", server.address);
            let _ = told.send(News::Failed(fault)).await;
        });
        Self { outbox, news, task }
    }

    /// False: there is no room.
    pub fn send(&self, now: Instant, message: &[u8]) -> bool {
        self.outbox.push(now, message)
    }

    /// Datagrams that were sent and dropped for want of a connection that takes them in time.
    pub fn dropped(&self) -> u64 {
        self.outbox.dropped()
    }

    /// Once all that waits was written.
    pub async fn finish(mut self) {
        self.outbox.finish();
        while self.news.recv().await.is_some() {}
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn converse(
    server: &SecureServer,
    outgoing: &Outbox,
    told: &mpsc::Sender<News>,
) -> io::Result<std::convert::Infallible> {
    let connection = server.connect().await?;
    let mut brake = Brake::new(connection.get_ref().0)?;
    let (mut from, mut to) = tokio::io::split(connection);
    let over = || io::Error::from(io::ErrorKind::ConnectionAborted);
    told.send(News::Opened).await.map_err(|_| over())?;
    let read = async {
        let mut messages = Messages::default();
        loop {
            let message = messages.next(&mut from).await?;
            let sent = told.send(News::Message(message)).await;
            sent.map_err(|_| over())?;
        }
    };
    let write = async {
        while let Some(message) = outgoing.next().await {
            let write = async {
                to.write_all(&message).await?;
                to.flush().await
            };
            outgoing.written(write).await?;
            brake.wait(outgoing).await?;
        }
        to.shutdown().await?;
        Err(over())
    };
    tokio::select! {
        ended = read => ended,
        ended = write => ended,
    }
}
