//! The framing of a stream: STUN messages and ChannelData padded to four bytes, back to back (RFC 8656 §12.5).

/// Of a STUN message.
const STUN_HEADER: usize = 20;
const CHANNEL_HEADER: usize = 4;
/// As the length field of either kind allows, headers and padding included.
pub const LONGEST: usize = STUN_HEADER + (1 << 16);

/// What a stream begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// A whole message of `length` bytes; the next begins after `padded`.
    Message { length: usize, padded: usize },
    /// At least so many bytes in all before more can be said.
    Wants(usize),
    /// No message begins like this: the stream has lost its boundaries for good.
    Broken,
}

/// Tells the first message of `stream`. Reads at most its header.
pub fn split(stream: &[u8]) -> Split {
    let Some(&[first, _, high, low]) = stream.first_chunk() else {
        return match stream.first() {
            Some(0x80..) => Split::Broken,
            _ => Split::Wants(CHANNEL_HEADER),
        };
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let (length, padded) = match first {
        // All attributes are padded, so a STUN message is.
        0x00..=0x3F if length % 4 == 0 => (STUN_HEADER + length, STUN_HEADER + length),
        0x40..=0x7F => {
            let length = CHANNEL_HEADER + length;
            (length, length.next_multiple_of(4))
        }
        _ => return Split::Broken,
    };
    match stream.len() >= padded {
        true => Split::Message { length, padded },
        false => Split::Wants(padded),
    }
}

/// The bytes that pad a message of `length` bytes on a stream.
pub fn padding(length: usize) -> &'static [u8] {
    &[0; 3][..length.next_multiple_of(4) - length]
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A message as a client writes it: STUN of whole words, or ChannelData of any length.
    fn message() -> impl Strategy<Value = Vec<u8>> {
        let stun = (0u8..0x40, any::<u8>(), vec(any::<[u8; 4]>(), 0..40)).prop_map(
            |(first, second, words)| {
                let body = words.concat();
                let mut message = vec![first, second];
                message.extend((body.len() as u16).to_be_bytes());
                message.extend([7; 16]);
                message.extend(body);
                message
            },
        );
        let channel = (0x4000u16..0x8000, vec(any::<u8>(), 0..200)).prop_map(|(number, data)| {
            let mut message = number.to_be_bytes().to_vec();
            message.extend((data.len() as u16).to_be_bytes());
            message.extend(data);
            message
        });
        prop_oneof![stun, channel]
    }

    /// What a reader gets that is handed the stream in pieces that end at `cuts`.
    fn read(stream: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
        let (mut held, mut messages) = (Vec::new(), Vec::new());
        let mut from = 0;
        for cut in cuts.iter().copied().chain([stream.len()]) {
            let cut = cut.clamp(from, stream.len());
            held.extend_from_slice(&stream[from..cut]);
            from = cut;
            while let Split::Message { length, padded } = split(&held) {
                messages.push(held[..length].to_vec());
                held.drain(..padded);
            }
        }
        assert!(held.is_empty(), "{held:?} is left");
        messages
    }

    proptest! {
        #[test]
        fn however_a_stream_is_cut_the_same_messages_come_out(
            messages in vec(message(), 0..20),
            mut cuts in vec(0usize..2000, 0..40),
        ) {
            let mut stream = Vec::new();
            for message in &messages {
                stream.extend_from_slice(message);
                stream.extend_from_slice(padding(message.len()));
            }
            cuts.sort_unstable();
            prop_assert_eq!(read(&stream, &cuts), messages);
        }

        #[test]
        fn no_bytes_make_it_panic_or_read_beyond_them(stream in vec(any::<u8>(), 0..200)) {
            match split(&stream) {
                Split::Message { length, padded } => {
                    prop_assert!(length <= padded && padded <= stream.len() && padded < length + 4);
                    prop_assert!(padded >= CHANNEL_HEADER);
                }
                Split::Wants(more) => {
                    prop_assert!(stream.len() < more && more <= LONGEST);
                }
                Split::Broken => prop_assert!(!stream.is_empty()),
            }
        }
    }

    #[test]
    fn a_prefix_never_promises_less_than_the_whole_needs() {
        let mut message = vec![0x40, 0x01, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0];
        for end in 0..message.len() {
            let Split::Wants(more) = split(&message[..end]) else {
                panic!("{end} bytes are no message");
            };
            assert!(more > end && more <= 12);
        }
        let (length, padded) = (9, 12);
        assert_eq!(split(&message), Split::Message { length, padded });
        message[0] = 0x80;
        assert_eq!(split(&message), Split::Broken);
        assert_eq!(split(&message[..1]), Split::Broken);
    }

    #[test]
    fn a_stun_message_whose_length_is_no_whole_words_breaks_the_stream() {
        assert_eq!(split(&[0, 1, 0, 3]), Split::Broken);
        assert_eq!(split(&[0, 1, 0, 4]), Split::Wants(24));
    }
}
