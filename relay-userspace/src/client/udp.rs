//! A UDP socket to the relay, whose errors are the relay's.

use std::io;
use std::net::SocketAddr;

use tokio::net::UdpSocket;

pub async fn connected(server: SocketAddr) -> io::Result<UdpSocket> {
    let any = match server {
        SocketAddr::V4(_) => "0.0.0.0:0",
        SocketAddr::V6(_) => "[::]:0",
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    // Until the runtime has looked at it, a new socket counts as full, and the first probe would be lost.
    socket.writable().await?;
    Ok(socket)
}
