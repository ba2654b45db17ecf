//! One end of a conversation: a socket, or a connection whose messages are framed as RFC 8656 §12.5 says.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::setup::DEADLINE;

pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

pub struct Endpoint {
    way: Way,
    address: SocketAddr,
}

enum Way {
    Socket(UdpSocket),
    Connection {
        server: SocketAddr,
        stream: Mutex<Box<dyn Stream>>,
    },
}

impl Endpoint {
    /// On a number that no listener has for TCP: whatever its protocol, a listener of the relay is never a peer.
    pub async fn new() -> Endpoint {
        loop {
            let endpoint = Endpoint::at("127.0.0.1:0").await;
            if TcpListener::bind(endpoint.address).await.is_ok() {
                return endpoint;
            }
        }
    }

    pub async fn at(address: &str) -> Endpoint {
        let socket = UdpSocket::bind(address).await.expect("a socket");
        Endpoint {
            address: socket.local_addr().expect("bound"),
            way: Way::Socket(socket),
        }
    }

    /// `address` is ours.
    pub fn connected(
        stream: impl Stream + 'static,
        address: SocketAddr,
        server: SocketAddr,
    ) -> Endpoint {
        let stream = Mutex::new(Box::new(stream) as Box<dyn Stream>);
        Endpoint {
            way: Way::Connection { server, stream },
            address,
        }
    }

    /// A connection that carries no messages any more.
    pub fn into_stream(self) -> Box<dyn Stream> {
        match self.way {
            Way::Connection { stream, .. } => stream.into_inner(),
            Way::Socket(_) => unreachable!("asked of connections only"),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub async fn send(&self, to: SocketAddr, bytes: &[u8]) {
        match &self.way {
            Way::Socket(socket) => {
                socket.send_to(bytes, to).await.expect("sent");
            }
            Way::Connection { stream, .. } => {
                let mut framed = bytes.to_vec();
                framed.resize(bytes.len().next_multiple_of(4), 0);
                let mut stream = stream.lock().await;
                stream.write_all(&framed).await.expect("written");
                stream.flush().await.expect("flushed");
            }
        }
    }

    /// The next message and who sent it.
    pub async fn receive(&self) -> (Vec<u8>, SocketAddr) {
        let received = timeout(DEADLINE, self.try_receive()).await;
        received.expect("a message in time").expect("received")
    }

    /// The same, or why there will be none.
    pub async fn try_receive(&self) -> std::io::Result<(Vec<u8>, SocketAddr)> {
        match &self.way {
            Way::Socket(socket) => {
                let mut buffer = vec![0; 1 << 16];
                let (length, from) = socket.recv_from(&mut buffer).await?;
                buffer.truncate(length);
                Ok((buffer, from))
            }
            Way::Connection { server, stream } => {
                let mut stream = stream.lock().await;
                let mut message = vec![0; 4];
                stream.read_exact(&mut message).await?;
                let length = usize::from(u16::from_be_bytes([message[2], message[3]]));
                let head = if message[0] < 0x40 { 20 } else { 4 };
                message.resize((head + length).next_multiple_of(4), 0);
                stream.read_exact(&mut message[4..]).await?;
                message.truncate(head + length);
                Ok((message, *server))
            }
        }
    }

    /// Whether a datagram waits. Only after something that proves that it would be here by now.
    pub fn is_empty(&self) -> bool {
        match &self.way {
            Way::Socket(socket) => socket.try_recv_from(&mut [0; 1]).is_err(),
            Way::Connection { .. } => unreachable!("asked of sockets only"),
        }
    }

    /// Until the other side ends the connection.
    pub async fn ended(&self) {
        let ended = async { while self.try_receive().await.is_ok() {} };
        let waited = timeout(DEADLINE + Duration::from_secs(1), ended).await;
        waited.expect("the connection ends in time");
    }
}
