//! A socket to the relay that carries whole messages: datagrams, or a stream of them. Knows nothing of what they say.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use crate::client::secure::Messages;
use crate::client::udp;
use crate::stream::frame;

const LONGEST: usize = 1 << 16;

pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

pub enum Wire {
    Datagrams {
        socket: UdpSocket,
        buffer: Vec<u8>,
    },
    Stream {
        stream: Box<dyn Stream>,
        messages: Messages,
    },
}

impl Wire {
    pub async fn udp(server: SocketAddr) -> io::Result<Self> {
        let socket = udp::connected(server).await?;
        let buffer = vec![0; LONGEST];
        Ok(Self::Datagrams { socket, buffer })
    }

    pub async fn tcp(server: SocketAddr) -> io::Result<Self> {
        let tcp = TcpStream::connect(server).await?;
        tcp.set_nodelay(true)?;
        Ok(Self::stream(tcp))
    }

    pub fn stream(stream: impl Stream + 'static) -> Self {
        Self::Stream {
            stream: Box::new(stream),
            messages: Messages::default(),
        }
    }

    pub async fn send(&mut self, mut message: Vec<u8>) -> io::Result<()> {
        match self {
            Self::Datagrams { socket, .. } => socket.send(&message).await.map(drop),
            Self::Stream { stream, .. } => {
                message.extend_from_slice(frame::padding(message.len()));
                stream.write_all(&message).await?;
                stream.flush().await
            }
        }
    }

    /// The next message. Nothing is lost when it is cancelled.
    pub async fn receive(&mut self) -> io::Result<Vec<u8>> {
        match self {
            Self::Datagrams { socket, buffer } => {
                let length = socket.recv(buffer).await?;
                Ok(buffer[..length].to_vec())
            }
            Self::Stream { stream, messages } => messages.next(stream).await,
        }
    }
}
