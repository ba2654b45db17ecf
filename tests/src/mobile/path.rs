//! One way to a TURN server, UDP or TLS, read and written without waiting.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use relay_userspace::stream::frame::{self, Split};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
};

use crate::netns::NetNs;

pub struct Path {
    way: Way,
    /// Of a stream: what is no whole message yet.
    begun: Vec<u8>,
}

enum Way {
    Udp(UdpSocket),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Path {
    /// From any port of `local`.
    pub fn udp(namespace: &NetNs, local: IpAddr, server: SocketAddr) -> Result<Self> {
        let socket = namespace.enter(|| Ok(UdpSocket::bind((local, 0))?))?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        Ok(Self::over(Way::Udp(socket)))
    }

    /// Connected, and its handshake done. Any certificate will do.
    pub fn tls(namespace: &NetNs, server: SocketAddr) -> Result<Self> {
        let tcp = namespace.enter(|| Ok(TcpStream::connect(server)?))?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(Duration::from_secs(5)))?;
        let provider = ring::default_provider();
        let config = ClientConfig::builder_with_provider(Arc::new(provider.clone()))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
            .with_no_client_auth();
        let name = ServerName::try_from("relay.invalid")?;
        let tls = ClientConnection::new(Arc::new(config), name)?;
        let mut stream = StreamOwned::new(tls, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        stream.sock.set_nonblocking(true)?;
        Ok(Self::over(Way::Tls(Box::new(stream))))
    }

    fn over(way: Way) -> Self {
        Self {
            way,
            begun: Vec::new(),
        }
    }

    pub fn send(&mut self, message: &[u8]) -> Result<()> {
        match &mut self.way {
            Way::Udp(socket) => socket.send(message).context("send").map(drop),
            Way::Tls(stream) => {
                let framed = [message, frame::padding(message.len())].concat();
                stream.write_all(&framed)?;
                stream.flush().context("write")
            }
        }
    }

    /// Every message that is there.
    pub fn receive(&mut self) -> Result<Vec<Vec<u8>>> {
        let mut buffer = [0; 1 << 16];
        let mut messages = Vec::new();
        loop {
            let read = match &mut self.way {
                Way::Udp(socket) => socket.recv(&mut buffer),
                Way::Tls(stream) => stream.read(&mut buffer),
            };
            match (read, &self.way) {
                (Err(error), _) if error.kind() == io::ErrorKind::WouldBlock => break,
                (Err(error), _) => return Err(error).context("receive"),
                (Ok(0), Way::Tls(_)) => break,
                (Ok(length), Way::Udp(_)) => messages.push(buffer[..length].to_vec()),
                (Ok(length), Way::Tls(_)) => self.begun.extend_from_slice(&buffer[..length]),
            }
        }
        loop {
            match frame::split(&self.begun) {
                Split::Message { length, padded } => {
                    messages.push(self.begun[..length].to_vec());
                    self.begun.drain(..padded);
                }
                Split::Wants(_) => return Ok(messages),
                Split::Broken => bail!("no message begins with {:?}", self.begun.first()),
            }
        }
    }
}

/// Trusts whoever answers.
#[derive(Debug)]
struct Anyone(CryptoProvider);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
