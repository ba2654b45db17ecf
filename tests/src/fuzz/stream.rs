//! What comes first on a connection, and what then goes over it: PROXY headers, first bytes, frames in and out.

use std::time::{Duration, Instant};

use relay_userspace::stream::frame::{LONGEST, Split, split};
use relay_userspace::stream::opening::{Speaker, by_first_byte};
use relay_userspace::stream::proxied::{self, Header, Malformed};
use relay_userspace::stream::queue::{BRIEF, Limits, Queue};

use super::input::Input;

/// The whole messages of a stream, and what is left. `None`: it is broken.
fn messages(stream: &[u8]) -> Option<(Vec<&[u8]>, &[u8])> {
    let (mut whole, mut rest) = (Vec::new(), stream);
    loop {
        match split(rest) {
            Split::Message { length, padded } => {
                assert!(length <= padded && padded - length < 4 && padded % 4 == 0);
                whole.push(&rest[..length]);
                rest = &rest[padded..];
            }
            Split::Wants(more) => {
                assert!(rest.len() < more && more <= LONGEST, "{more} wanted");
                return Some((whole, rest));
            }
            Split::Broken => return None,
        }
    }
}

/// However a stream is cut, the same messages come out, or it breaks at the same place.
pub fn stream_frames(input: &[u8]) {
    let mut input = Input(input);
    let cuts = input.below(8);
    let cuts: Vec<_> = (0..cuts).map(|_| usize::from(input.word())).collect();
    let stream = input.rest();
    let (mut held, mut taken, mut from) = (Vec::new(), Vec::new(), 0);
    let mut broken = false;
    for cut in cuts.into_iter().chain([stream.len()]) {
        let cut = cut.clamp(from, stream.len());
        held.extend_from_slice(&stream[from..cut]);
        from = cut;
        let begun = held.len();
        match messages(&held) {
            Some((whole, rest)) => {
                taken.extend(whole.iter().map(|message| message.to_vec()));
                held = rest.to_vec();
            }
            None => broken = true,
        }
        assert!(held.len() <= begun);
        if broken {
            break;
        }
    }
    match messages(stream) {
        Some((whole, rest)) => {
            assert!(!broken);
            assert_eq!(
                (taken, held),
                (whole.iter().map(|m| m.to_vec()).collect(), rest.to_vec())
            );
        }
        None => assert!(broken, "a cut made it whole"),
    }
}

/// Whatever is queued, drops out for age or want of room, and leaves in whatever pieces: what arrives are whole messages,
/// answers always and in their order, and so are datagrams that are brief, and those that are not, which may be overtaken.
pub fn stream_queue(input: &[u8]) {
    let mut input = Input(input);
    let limits = Limits {
        bytes: usize::from(input.word()) % 4096,
        age: Duration::from_millis(input.byte().into()),
    };
    let mut queue = Queue::new(limits);
    let (mut now, mut serial) = (Instant::now(), 0u32);
    let (mut answers, mut pushed, mut arrived) = (Vec::new(), 0u64, Vec::new());
    while !input.is_empty() {
        let (kind, how) = (input.below(6), usize::from(input.byte()));
        serial += 1;
        match kind {
            0 => {
                let answer = message([0x01, 0x01], serial, how / 4 * 4 + 16);
                if queue.push_control(&answer).is_ok() {
                    answers.push(serial);
                }
            }
            1 | 2 => {
                let data = message([0x40, how as u8 & 3], serial, how * kind);
                queue.push_data(now, 0x4000 | (how as u16 & 3), &data);
                pushed += 1;
            }
            3 => now += Duration::from_millis(how as u64),
            4 => {
                let most = how * 16;
                let slices = queue.slices(most);
                let bytes: Vec<u8> = slices.iter().flat_map(|s| s.iter().copied()).collect();
                assert!(bytes.len() <= most && bytes.len() <= queue.len());
                assert!(most == 0 || queue.is_empty() || !bytes.is_empty(), "stuck");
                queue.advance(bytes.len());
                arrived.extend(bytes);
            }
            _ => {
                let (first, second) = queue.next_message();
                let bytes = [first, second].concat();
                assert_eq!(bytes.is_empty(), queue.is_empty(), "stuck");
                // As much of it as TLS takes.
                let bytes = &bytes[..bytes.len().min(1 + how)];
                queue.advance(bytes.len());
                arrived.extend(bytes);
            }
        }
        assert!(
            queue.len() <= limits.bytes + (64 << 10),
            "more than there is room for"
        );
    }
    while !queue.is_empty() {
        let bytes: Vec<u8> = queue
            .slices(777)
            .iter()
            .flat_map(|s| s.iter().copied())
            .collect();
        queue.advance(bytes.len());
        arrived.extend(bytes);
    }
    let (whole, rest) = messages(&arrived).expect("nothing torn");
    assert!(rest.is_empty(), "a message that was not ended");
    let serials = |of_kind: &dyn Fn(&[u8]) -> bool| {
        let of_kind = whole.iter().filter(|message| of_kind(message));
        of_kind
            .map(|message| serial_of(message))
            .collect::<Vec<_>>()
    };
    let sent = serials(&|message| message[0] == 0x01);
    assert_eq!(sent, answers, "answers, all of them");
    let data = [true, false]
        .map(|brief| serials(&|message| message[0] == 0x40 && (message.len() <= BRIEF) == brief));
    assert!(data.iter().all(|lane| lane.is_sorted()), "out of order");
    let sent: usize = data.iter().map(Vec::len).sum();
    assert_eq!(sent as u64 + queue.dropped(), pushed);
}

/// Framed as its first two bytes say, with its number at both ends.
fn message(kind: [u8; 2], serial: u32, length: usize) -> Vec<u8> {
    let head = if kind[0] < 0x40 { 20 } else { 4 };
    let length = length.max(4);
    let mut message = kind.to_vec();
    message.extend((length as u16).to_be_bytes());
    message.resize(head + length, serial as u8);
    message[head..head + 4].copy_from_slice(&serial.to_be_bytes());
    message
}

fn serial_of(message: &[u8]) -> u32 {
    let head = if message[0] < 0x40 { 20 } else { 4 };
    let (serial, rest) = message[head..].split_first_chunk().expect("a number");
    let serial = u32::from_be_bytes(*serial);
    assert!(
        rest.iter().all(|byte| *byte == serial as u8),
        "parts of two"
    );
    serial
}

/// A header ends where it says, whatever follows it, and is never asked for more than its longest.
pub fn proxy_header(input: &[u8]) {
    let mut end = 0;
    let outcome = loop {
        match proxied::read(&input[..end]) {
            Ok(Header::Wants(more)) => {
                assert!(
                    more > 0 && end + more <= 4096,
                    "{more} more than {end} wanted"
                );
                end += more;
                if end > input.len() {
                    return;
                }
            }
            outcome => break outcome,
        }
    };
    let head = &input[..end];
    match outcome {
        Ok(Header::Of(named)) => {
            let v1 = head.starts_with(b"PROXY ") && head.ends_with(b"\r\n");
            let v2 = head.starts_with(b"\r\n\r\n\0\r\nQUIT\n");
            assert!(v1 || v2, "neither version");
            // What it says of the client stands in it.
            match named {
                Some(client) if v1 => {
                    let text = std::str::from_utf8(head).expect("text");
                    let mut words = text.split([' ', '\r']).skip(2);
                    let ip: std::net::IpAddr = words.next().unwrap().parse().unwrap();
                    let port: u16 = words.nth(1).unwrap().parse().unwrap();
                    assert_eq!((client.ip(), client.port()), (ip, port));
                }
                Some(client) => {
                    let (ip, port) = match client.ip() {
                        std::net::IpAddr::V4(ip) => (ip.octets().to_vec(), 24),
                        std::net::IpAddr::V6(ip) => (ip.octets().to_vec(), 48),
                    };
                    assert_eq!(&head[16..16 + ip.len()], ip);
                    assert_eq!(head[port..port + 2], client.port().to_be_bytes());
                }
                None => {}
            }
        }
        Ok(Header::Wants(_)) => unreachable!("the loop goes on"),
        Err(Malformed::NoHeader | Malformed::TooLong | Malformed::Unreadable) => {}
    }
}

/// Who speaks, by the first byte: nobody is taken for a TURN client whose first message would break the stream, and no
/// message a server has to answer is taken for somebody else's.
pub fn first_bytes(input: &[u8]) {
    let Some(first) = input.first() else {
        return;
    };
    let speaker = by_first_byte(*first);
    let frame = split(input);
    match speaker {
        Some(Speaker::Turn) => {
            let odd = input.len() >= 4 && !input[3].is_multiple_of(4);
            assert_eq!(frame == Split::Broken, odd, "STUN is whole words");
        }
        Some(Speaker::Tls) => assert_eq!(*first, 22, "a handshake record"),
        Some(Speaker::Http) => assert!(first.is_ascii_uppercase()),
        None => assert!(*first >= 0x40 && !first.is_ascii_uppercase()),
    }
    if let Ok(message) = stun_types::message::Message::from_bytes(input)
        && message.has_class(stun_types::message::MessageClass::Request)
        && is_answered(message.method())
    {
        assert_eq!(speaker, Some(Speaker::Turn));
    }
}

fn is_answered(method: stun_types::message::Method) -> bool {
    use turn_types::message::{
        ALLOCATE, CHANNEL_BIND, CONNECT, CONNECTION_BIND, CREATE_PERMISSION, REFRESH,
    };
    [
        stun_types::message::BINDING,
        ALLOCATE,
        REFRESH,
        CREATE_PERMISSION,
        CHANNEL_BIND,
        CONNECT,
        CONNECTION_BIND,
    ]
    .contains(&method)
}
