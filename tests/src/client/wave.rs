//! Many clients at once: every request of a wave is sent before the first answer is read, so that a server has a queue
//! and one thread can set up thousands of sessions.

use std::net::{SocketAddr, UdpSocket};

use anyhow::Result;
use relay_userspace::client::request::{Answer, Request};
use relay_userspace::client::words::{allocate, channel_bind, relayed};

use super::TurnClient;

impl TurnClient {
    /// An allocation for each socket, as [`TurnClient::allocate`] makes one.
    pub fn allocate_wave(
        sockets: Vec<UdpSocket>,
        server: SocketAddr,
        user: &str,
        password: &str,
    ) -> Result<Vec<Self>> {
        let request = allocate(server.is_ipv4());
        let clients = sockets.into_iter();
        let mut clients: Vec<_> = clients
            .map(|socket| Self::new(socket, server, user, password))
            .collect::<Result<_>>()?;
        let answers = wave(&mut clients, &request)?;
        for (client, answer) in clients.iter_mut().zip(answers) {
            client.login.challenge(&answer.message()?)?;
        }
        let answers = granted(&mut clients, &request)?;
        for (client, answer) in clients.iter_mut().zip(answers) {
            client.relayed = relayed(&answer)?;
        }
        Ok(clients)
    }

    /// Binds channel `number` to `peer` for each of `clients`.
    pub fn bind_wave(clients: &mut [Self], number: u16, peer: SocketAddr) -> Result<()> {
        granted(clients, &channel_bind(number, peer)).map(drop)
    }
}

/// A wave of requests that must succeed.
fn granted(clients: &mut [TurnClient], request: &Request) -> Result<Vec<Answer>> {
    let answers = wave(clients, request)?;
    for answer in &answers {
        if let Some(refused) = answer.refused()? {
            return Err(refused.into());
        }
    }
    Ok(answers)
}

fn wave(clients: &mut [TurnClient], request: &Request) -> Result<Vec<Answer>> {
    let encoded = clients.iter().map(|client| request.encode(&client.login));
    let encoded: Vec<_> = encoded.collect::<Result<_, _>>()?;
    for (client, (bytes, _)) in clients.iter_mut().zip(&encoded) {
        client.send_request(bytes)?;
    }
    let asked = clients.iter_mut().zip(&encoded);
    asked
        .map(|(client, asked)| client.answer(asked, request))
        .collect()
}
