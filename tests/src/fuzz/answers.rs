//! What a client makes of a server that answers anything: it goes on, and says little for each answer it gets.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use relay_userspace::client::request::Login;
use relay_userspace::client::turn::Turn;
use relay_userspace::mode::{Leg, Route};

use super::Input;

/// An answer is asked for a challenge, a place, or a channel again, and never for more than is known here.
const MOST: usize = 4;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
const HEADER: usize = 20;

pub fn answers(input: &[u8]) {
    let mut input = Input(input);
    let mut now = Instant::now();
    let mut turn = Turn::new(Login::new("ann", "secret"), true);
    let peer: SocketAddr = ([192, 0, 2, 9], 5004).into();
    turn.carry(now, Route::Only(Leg::Udp));
    turn.open_channel(now, peer);
    let mut asked = Vec::new();
    said(&mut turn, &mut asked);
    while !input.is_empty() {
        let leg = if input.flag() { Leg::Udp } else { Leg::Tcp };
        match input.below(6) {
            0 => turn.carry(now, Route::Only(leg)),
            1 => turn.probe(now, leg, u64::from(input.byte()), 40),
            2 => {
                now += Duration::from_secs(u64::from(input.byte()));
                turn.tick(now);
            }
            3 => {
                let length = input.below(64);
                turn.take(now, leg, input.take(length));
                assert!(said(&mut turn, &mut asked) <= MOST);
            }
            _ => {
                let Some((leg, answer)) = answer(&mut input, &mut asked) else {
                    continue;
                };
                said(&mut turn, &mut asked);
                turn.take(now, leg, &answer);
                assert!(said(&mut turn, &mut asked) <= MOST);
            }
        }
        said(&mut turn, &mut asked);
        while turn.next_event().is_some() {}
    }
}

/// Messages that were said; they are kept to be answered.
fn said(turn: &mut Turn, asked: &mut Vec<(Leg, Vec<u8>)>) -> usize {
    let all: Vec<_> = std::iter::from_fn(|| turn.next_message()).collect();
    let count = all.len();
    asked.extend(all);
    count
}

/// To the last request: a success or an error, of any attributes.
fn answer(input: &mut Input<'_>, asked: &mut Vec<(Leg, Vec<u8>)>) -> Option<(Leg, Vec<u8>)> {
    let (leg, request) = asked.pop()?;
    let transaction = request.get(8..HEADER)?;
    let class = if input.flag() { [1, 0x00] } else { [1, 0x10] };
    let attributes = input.below(256) / 4 * 4;
    let attributes = input.take(attributes);
    let attributes = &attributes[..attributes.len() / 4 * 4];
    let mut answer = vec![request[0] | class[0], request[1] | class[1]];
    answer.extend((attributes.len() as u16).to_be_bytes());
    answer.extend(COOKIE);
    answer.extend(transaction);
    answer.extend(attributes);
    Some((leg, answer))
}
