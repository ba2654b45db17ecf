//! An origin for WebSockets: switches whoever asks, then repeats every byte. One thread a connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use anyhow::Result;
use socket2::SockRef;

const SWITCHED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// Listens until it is dropped.
pub struct Echo {
    listener: TcpListener,
    listening: Option<JoinHandle<()>>,
}

impl Echo {
    /// In the namespace of the thread that calls.
    pub fn start(address: &str) -> Result<Echo> {
        let listener = TcpListener::bind(address)?;
        let ours = listener.try_clone()?;
        let listening = thread::spawn(move || {
            for stream in listener.incoming() {
                // A listener that is shut down fails for ever.
                let Ok(stream) = stream else { break };
                // It ends with its connection.
                thread::spawn(move || drop(serve(stream)));
            }
        });
        Ok(Echo {
            listener: ours,
            listening: Some(listening),
        })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = SockRef::from(&self.listener).shutdown(Shutdown::Both);
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
    }
}

fn serve(stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut to = stream.try_clone()?;
    let mut from = BufReader::new(stream);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        if from.read_line(&mut line)? == 0 {
            return Ok(());
        }
    }
    to.write_all(SWITCHED)?;
    let mut buffer = [0; 4096];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            read => to.write_all(&buffer[..read])?,
        }
    }
}
