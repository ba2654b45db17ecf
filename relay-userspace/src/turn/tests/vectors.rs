//! The test vectors of RFC 5769, as this server sees them.

use stun_types::attribute::Userhash;
use stun_types::message::{Message, MessageWrite as _, MessageWriteExt as _};

use super::harness::*;
use crate::config::{Auth, User};
use crate::credentials::{Algorithm, Credentials};
use crate::turn::{Counter, message};

/// §2.1: Binding with PRIORITY, short-term integrity and FINGERPRINT.
const REQUEST: &str = "\
    000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74\
    002400046e0001ff80290008932ff9b151263b36000600096576746a3a6836765920202000080014\
    9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf";

/// §2.2
const RESPONSE_V4: &str = "\
    0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f722000200008\
    0001a147e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96";

/// §2.3
const RESPONSE_V6: &str = "\
    010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f722000200014\
    0002a1470113a9faa5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275\
    bfe3ed4180280004c8fb0b4c";

/// §2.4: integrity of user マトリックス in realm example.org, password TheMatrIX.
const LONG_TERM: &str = "\
    000100602112a44278ad3433c6ad72c029da412e00060012e3839ee38388e383aae38383e382afe3\
    82b900000015001c662f2f3439396b39353464364f4c33346f4c394653547679363473410014000b\
    6578616d706c652e6f72670000080014f67024656dd64a3e02b8e0712e85c9a28ca89666";

/// RFC 8489 B.1 with erratum 6268: the same user by USERHASH, with PASSWORD-ALGORITHM and MESSAGE-INTEGRITY-SHA256.
const ANONYMOUS: &str = "\
    000100902112a44278ad3433c6ad72c029da412e001e00204a3cf38fef6992bda952c6780417da0f\
    24819415569e60b205c46e41407f1704001500296f624d61744a6f733241414143662f2f3439396b\
    39353464364f4c33346f4c394653547679363473410000000014000b6578616d706c652e6f726700\
    001d000400020000001c0020b5c7bf005b6c52a21c51c5e892f81924136296cb927c43149309278cc6518e65";

fn bytes(hex: &str) -> Vec<u8> {
    let hex: String = hex.split_whitespace().collect();
    (0..hex.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
        .collect()
}

#[test]
fn the_long_term_vectors_are_proven_by_their_user() {
    let vector = bytes(LONG_TERM);
    let message = message::parse(&vector).unwrap();
    let credentials = Credentials::new(&Auth {
        realm: "example.org".into(),
        secrets: vec![],
        users: vec![User {
            name: "マトリックス".into(),
            password: "TheMatrIX".to_owned().into(),
        }],
        ..Auth::default()
    });
    let [proof] = &credentials
        .candidates("マトリックス", Algorithm::Md5)
        .unwrap()
        .proofs[..]
    else {
        panic!("a static user has one key")
    };
    assert!(proof.key.proves(&message));
    assert!(!credentials.decoy().proves(&message));

    let vector = bytes(ANONYMOUS);
    let message = message::parse(&vector).unwrap();
    let hash = *message.attribute::<Userhash>().unwrap().hash();
    let name = credentials.named(&hash).unwrap();
    assert_eq!(name, "マトリックス");
    for (algorithm, proves) in [(Algorithm::Sha256, true), (Algorithm::Md5, false)] {
        let candidates = credentials.candidates(name, algorithm).unwrap();
        assert_eq!(candidates.proofs[0].key.proves(&message), proves);
    }
    let mut changed = vector.clone();
    for at in 0..vector.len() - 32 {
        changed[at] ^= 1;
        let proven = message::parse(&changed).is_some_and(|m| {
            let candidates = credentials.candidates(name, Algorithm::Sha256).unwrap();
            candidates.proofs[0].key.proves(&m)
        });
        assert!(!proven, "byte {at}");
        changed[at] ^= 1;
    }
}

#[test]
fn the_request_vector_is_answered_with_a_fingerprint() {
    let mut s = TestServer::new();
    s.receive(&alice(), &bytes(REQUEST));
    // PRIORITY is ICE's; a relay does not comprehend it.
    s.assert_commands(&["1000 Binding 420 unknown [0, 24] unsigned fingerprint"]);
}

#[test]
fn the_response_vectors_parse_and_are_not_answered() {
    let mut s = TestServer::new();
    for vector in [RESPONSE_V4, RESPONSE_V6] {
        assert!(message::parse(&bytes(vector)).is_some());
        s.receive(&alice(), &bytes(vector));
    }
    s.assert_commands(&[]);
    assert_eq!(s.server.counters().get(Counter::UnexpectedStun), 2);
}

#[test]
fn a_vector_with_any_byte_changed_is_dropped_for_its_fingerprint() {
    let vector = bytes(REQUEST);
    let fingerprint_header = 100..104;
    for at in (0..vector.len()).filter(|at| !fingerprint_header.contains(at)) {
        let mut changed = vector.clone();
        changed[at] ^= 1;
        assert!(message::parse(&changed).is_none(), "byte {at}");
    }
}

#[test]
fn a_message_longer_or_shorter_than_it_says_is_dropped() {
    let mut binding = Message::builder_request(
        stun_types::message::BINDING,
        stun_types::message::MessageWriteVec::new(),
    );
    binding.add_fingerprint().unwrap();
    let whole = binding.finish();
    assert!(message::parse(&whole).is_some());
    for cut in 0..whole.len() {
        assert!(message::parse(&whole[..cut]).is_none());
    }
    let trailing = [&whole[..], &[0x80, 0x22, 0, 0]].concat();
    assert!(message::parse(&trailing).is_none());
}
