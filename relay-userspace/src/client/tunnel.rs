//! A connection to a peer through the relay (RFC 6062), all of it over TLS. Each has an allocation of its own: one allocation
//! may have one connection to a peer, and applications open several.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::request::{Answer, Login, MessageError, Refused, Request};
use super::secure::{Messages, SecureServer};
use super::words;

/// For each answer. The relay waits 30 s for a peer (RFC 6062 §5.2).
const PATIENCE: Duration = Duration::from_secs(35);

#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    #[error("connect to the relay: {0}")]
    Connect(#[source] io::Error),
    #[error("{0}")]
    Refused(#[from] Refused),
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error("the connection to the relay broke: {0}")]
    Broken(#[from] io::Error),
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Timeout,
}

/// Connected to the peer until dropped.
#[derive(Debug)]
pub struct Tunnel {
    control: Dialogue,
    data: Dialogue,
    renew_after: Duration,
}

/// Requests and answers on one connection.
#[derive(Debug)]
struct Dialogue {
    stream: TlsStream<TcpStream>,
    messages: Messages,
    login: Login,
}

impl Tunnel {
    pub async fn open(
        server: &SecureServer,
        login: &Login,
        peer: SocketAddr,
    ) -> Result<Self, TunnelError> {
        let mut control = Dialogue::begin(server, login.clone()).await?;
        let allocated = control.ask(&words::allocate_tcp()).await?;
        let connected = control.ask(&words::connect(peer)).await?;
        let connection = words::connection(&connected)?;
        let mut data = Dialogue::begin(server, control.login.clone()).await?;
        data.ask(&words::connection_bind(connection)).await?;
        let renew_after = words::renew_after(&allocated)?;
        Ok(Self {
            control,
            data,
            renew_after,
        })
    }

    /// Until both ends have said all, or one breaks: bytes there and back.
    pub async fn join(
        mut self,
        local: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ) -> Result<(u64, u64), TunnelError> {
        // The peer may have spoken before anybody listened.
        local.write_all(&self.data.messages.into_rest()).await?;
        let copied = copy_bidirectional(local, &mut self.data.stream);
        tokio::select! {
            copied = copied => Ok(copied?),
            error = self.control.keep(self.renew_after) => Err(error),
        }
    }
}

impl Dialogue {
    async fn begin(server: &SecureServer, login: Login) -> Result<Self, TunnelError> {
        let stream = server.connect().await.map_err(TunnelError::Connect)?;
        Ok(Self {
            stream,
            messages: Messages::default(),
            login,
        })
    }

    /// Refreshes the allocation until that fails.
    async fn keep(&mut self, every: Duration) -> TunnelError {
        loop {
            tokio::time::sleep(every).await;
            if let Err(error) = self.ask(&words::keep()).await {
                return error;
            }
        }
    }

    async fn ask(&mut self, request: &Request) -> Result<Answer, TunnelError> {
        let mut challenged = false;
        loop {
            let answer = tokio::time::timeout(PATIENCE, self.exchange(request)).await;
            let answer = answer.map_err(|_| TunnelError::Timeout)??;
            match answer.refused()? {
                None => return Ok(answer),
                Some(refused) if refused.is_challenge() && !challenged => {
                    challenged = true;
                    self.login.challenge(&answer.message()?)?;
                }
                Some(refused) => return Err(refused.into()),
            }
        }
    }

    async fn exchange(&mut self, request: &Request) -> Result<Answer, TunnelError> {
        let (bytes, transaction) = request.encode(&self.login)?;
        self.stream.write_all(&bytes).await?;
        self.stream.flush().await?;
        loop {
            let answer = Answer::new(self.messages.next(&mut self.stream).await?);
            let message = answer.message()?;
            let ours = message.is_response() && message.transaction_id() == transaction;
            if ours && self.login.accepts(&message) {
                return Ok(answer);
            }
        }
    }
}
