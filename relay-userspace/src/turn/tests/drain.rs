//! A server that takes nobody new: clients it has go on, others are told where to go.

use std::sync::Arc;

use stun_types::attribute::*;
use stun_types::message::*;
use turn_types::attribute::RequestedTransport;
use turn_types::message::ALLOCATE;

use super::harness::*;
use crate::admission::Admission;
use crate::credentials::{Algorithm, LongTermKey};
use crate::turn::{Alternate, Command, Counter, Transport};

const DOMAIN: &str = "turn2.example";

fn server() -> (TestServer, Admission) {
    let admission = Admission::default();
    let alternate = |tls, domain: Option<&str>| Alternate {
        address: addr("192.0.2.7:3478"),
        tls,
        domain: domain.map(str::to_owned),
    };
    let alternates = [alternate(false, None), alternate(true, Some(DOMAIN))];
    let server = TestServer::with(limits(), |config| {
        config.admission = admission.clone();
        config.alternates = Arc::new(alternates);
    });
    (server, admission)
}

/// The answer to an Allocate with this integrity: its code, server and name.
fn asked(
    s: &mut TestServer,
    client: &Client,
    integrity: IntegrityAlgorithm,
) -> (u16, Option<std::net::SocketAddr>, Option<String>) {
    s.transaction += 1;
    let udp = RequestedTransport::new(17);
    let mut message = s.unsigned(MessageClass::Request, ALLOCATE, &[&udp]);
    let nonce = s.nonce(client);
    let mut add = |attribute: &dyn AttributeWrite| message.add_attribute(attribute).unwrap();
    add(&Username::new(&client.username).unwrap());
    add(&Realm::new(REALM).unwrap());
    add(&Nonce::new(&nonce).unwrap());
    let signed = message.add_message_integrity_with_key(&key(client), integrity);
    signed.unwrap();
    s.receive(client, &message.finish());
    let Some(Command::Send { bytes, .. }) = s.server.next_command() else {
        panic!("no answer");
    };
    let answer = Message::from_bytes(&bytes).unwrap();
    let (name, password) = (&client.username, &client.password);
    let key = LongTermKey::new(Algorithm::Md5, name, REALM, password);
    assert!(key.proves(&answer), "nobody else can send clients away");
    let error = answer.attribute::<ErrorCode>().unwrap();
    let server = answer.attribute::<AlternateServer>().ok();
    let domain = answer.attribute::<AlternateDomain>().ok();
    (
        error.code(),
        server.map(|one| one.server()),
        domain.map(|one| one.domain().to_owned()),
    )
}

#[test]
fn who_has_an_allocation_goes_on_while_others_are_sent_elsewhere() {
    let (mut s, admission) = server();
    s.allocate(&alice());
    admission.close();
    let elsewhere = Some(addr("192.0.2.7:3478"));
    let answer = asked(&mut s, &bob(), IntegrityAlgorithm::Sha1);
    assert_eq!(answer, (300, elsewhere, None));
    assert_eq!(s.server.counters().get(Counter::Answered300), 1);
    let refresh = s.request(&alice(), turn_types::message::REFRESH, &[]);
    s.receive(&alice(), &refresh);
    assert!(matches!(
        s.server.next_command(),
        Some(Command::Send { .. })
    ));
    assert_eq!(s.server.counters().get(Counter::Refreshed), 1);
    admission.open();
    s.allocate(&bob());
}

#[test]
fn the_name_of_the_other_certificate_is_for_tls_clients_that_know_of_it() {
    let (mut s, admission) = server();
    admission.close();
    let mut client = alice();
    client.tuple.transport = Transport::Tls;
    let elsewhere = Some(addr("192.0.2.7:3478"));
    let old = asked(&mut s, &client, IntegrityAlgorithm::Sha1);
    assert_eq!(old, (300, elsewhere, None));
    let new = asked(&mut s, &client, IntegrityAlgorithm::Sha256);
    assert_eq!(new, (300, elsewhere, Some(DOMAIN.to_owned())));
    let mut v6 = bob();
    v6.tuple.client = addr("[2001:db8::1]:2000");
    let answer = asked(&mut s, &v6, IntegrityAlgorithm::Sha256);
    assert_eq!(answer, (508, None, None));
}

#[test]
fn strangers_are_challenged_as_ever_and_learn_of_no_other_server() {
    let (mut s, admission) = server();
    admission.close();
    let udp = RequestedTransport::new(17);
    let request = s
        .unsigned(MessageClass::Request, ALLOCATE, &[&udp])
        .finish();
    s.receive(&alice(), &request);
    let Some(Command::Send { bytes, .. }) = s.server.next_command() else {
        panic!("no answer");
    };
    let answer = Message::from_bytes(&bytes).unwrap();
    assert_eq!(answer.attribute::<ErrorCode>().unwrap().code(), 401);
    assert!(answer.attribute::<AlternateServer>().is_err());
}
