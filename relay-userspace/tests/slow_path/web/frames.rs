//! An h2 client made of frames (RFC 9113), so that it can say what no library would.

use relay_userspace::relay::Relay;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::trust::tls_to;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;

pub const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// As far as a window goes (§6.9.1).
pub const WIDEST: u32 = (1 << 31) - 1;
const INITIAL_WINDOW_SIZE: u16 = 4;

#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
}

pub struct Frames(pub TlsStream<TcpStream>);

impl Frames {
    /// `window`: what each answer may send before it hears more.
    pub async fn connect(relay: &Relay, window: u32) -> Frames {
        let server = relay.status().listen_tls[0];
        let tcp = TcpStream::connect(server).await.expect("a connection");
        let (mut tls, _) = tls_to(tcp, "relay.test", &[b"h2"]).await.expect("TLS");
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        tls.write_all(preface).await.expect("a preface");
        let mut frames = Frames(tls);
        let mut settings = INITIAL_WINDOW_SIZE.to_be_bytes().to_vec();
        settings.extend(window.to_be_bytes());
        frames.send(SETTINGS, 0, 0, &settings).await;
        frames
    }

    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("a frame's length");
        let mut frame = length.to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        // The relay may have ended it before it was all said.
        let _ = self.0.write_all(&frame).await;
    }

    /// All answers together may send so much more.
    pub async fn widen(&mut self, by: u32) {
        self.send(WINDOW_UPDATE, 0, 0, &by.to_be_bytes()).await;
    }

    /// A request's head; `flags`: beside the one that it is whole.
    pub async fn ask(&mut self, stream: u32, flags: u8, fields: &[(&str, &str)]) {
        let mut block = Vec::new();
        for (name, value) in fields {
            // A literal that enters no table, with a new name (RFC 7541 §6.2.2).
            block.push(0);
            for text in [name, value] {
                block.extend(length(text.len()));
                block.extend(text.as_bytes());
            }
        }
        self.send(HEADERS, flags | END_HEADERS, stream, &block)
            .await;
    }

    /// `None`: it is over.
    pub async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        Some(Frame { kind: head[3] })
    }

    /// The next of these kinds.
    pub async fn next_of(&mut self, kinds: &[u8]) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if kinds.contains(&frame.kind) {
                return Some(frame);
            }
        }
    }
}

/// Of a text without Huffman's code (RFC 7541 §5.1, a prefix of 7 bits).
fn length(mut of: usize) -> Vec<u8> {
    if of < 127 {
        return vec![of as u8];
    }
    of -= 127;
    let mut bytes = vec![127];
    while of >= 128 {
        bytes.push(of as u8 | 128);
        of /= 128;
    }
    bytes.push(of as u8);
    bytes
}

/// The fields of a request for a path, and those given.
pub fn head<'a>(
    method: &'a str,
    path: &'a str,
    more: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![
        (":method", method),
        (":scheme", "https"),
        (":authority", "relay.test"),
        (":path", path),
    ];
    // Those with a colon have to come before the others.
    let place = |pair: &&(&str, &str)| pair.0.starts_with(':');
    fields.extend(more.iter().filter(place));
    fields.extend(more.iter().filter(|pair| !place(pair)));
    fields
}
