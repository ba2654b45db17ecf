//! What the engine asks of memory before it knows.

use relay_common::{Match, PORT_IS_OPEN};

use super::*;
use crate::packet::{channel_data, udp};

#[test]
fn the_guess_of_a_client_is_fetched_and_peers_have_none() {
    let [client, server, listener, peer, relayed] = [1, 3478, 5004, 2, 50_000]
        .map(|port: u16| SocketAddr::from(([192, 0, 2, port as u8], port)));
    let mut tables = MemoryTables::new(1000);
    tables.sessions = vec![Session::default(); 1000];
    for (to, channel) in [(server, 0x4001), (listener, 0)] {
        let legs = [
            Match::new(client, to, channel),
            Match::new(peer, relayed, 0),
        ];
        let slot = u32::from(channel == 0);
        let session = Session::new(legs, [0; 2], [u64::MAX; 2]);
        tables.try_install_at(slot, session, 1).expect("room");
    }
    let index = port_index(false, listener.port()) as usize;
    tables.ports[index].kind |= PORT_IS_OPEN;
    let guess = |to, channel| {
        let m = Match::new(client, to, channel);
        tables.key.place(&m, 0).guess(1000)
    };
    let fetched = |from, to, payload: &[u8]| {
        tables.run(&udp(from, to, payload).bytes(), 1);
        tables.fetched.borrow().clone()
    };
    let data = channel_data(0x4001, b"data", 0);
    assert_eq!(fetched(client, server, &data), [guess(server, 0x4001)]);
    assert_eq!(
        fetched(client, listener, b"\x80plain"),
        [guess(listener, 0)]
    );
    assert!(fetched(peer, relayed, b"\x80plain").is_empty());
}
