//! A TLS connection to the relay, and the messages on it. Knows nothing of what they say.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::stream::frame::{Split, split};

const READ: usize = 16 << 10;

/// Whom to reach by TLS, and whose certificate it must show.
#[derive(Debug, Clone)]
pub struct SecureServer {
    pub address: SocketAddr,
    pub name: ServerName<'static>,
    pub tls: Arc<ClientConfig>,
}

impl SecureServer {
    pub async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.address).await?;
        tcp.set_nodelay(true)?;
        self.over(tcp).await
    }

    /// On a connection that is there.
    pub async fn over(&self, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let tls = TlsConnector::from(Arc::clone(&self.tls));
        tls.connect(self.name.clone(), tcp).await
    }
}

/// The reading end of a stream of STUN messages and ChannelData.
#[derive(Debug, Default)]
pub struct Messages {
    read: Vec<u8>,
}

impl Messages {
    /// The next whole message. What was read is kept when it is cancelled.
    pub async fn next(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
        loop {
            match split(&self.read) {
                Split::Message { length, padded } => {
                    let message = self.read[..length].to_vec();
                    self.read.drain(..padded);
                    return Ok(message);
                }
                Split::Broken => {
                    let fault = "what came is neither STUN nor ChannelData";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, fault));
                }
                Split::Wants(_) => {}
            }
            self.read.reserve(READ);
            if from.read_buf(&mut self.read).await? == 0 {
                let fault = "the relay closed the connection";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, fault));
            }
        }
    }

    /// What came behind the last message.
    pub fn into_rest(self) -> Vec<u8> {
        self.read
    }
}
