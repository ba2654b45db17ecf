//! A connection and its client on loopback, with the time as the test says. Opens no listener of the relay.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::*;
use crate::net::stream::gate::{Gate, Places};
use crate::turn::Transport;

const AGE: Duration = Duration::from_millis(200);
const OWNER: Owner = 0x4000;

/// A client's connection, and the client's end.
async fn pair() -> (Connection, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let server = listener.local_addr().expect("bound");
    let client = TcpStream::connect(server).await.expect("connected");
    let (tcp, from) = listener.accept().await.expect("accepted");
    let places = Places {
        total: 1,
        of_a_prefix: 1,
    };
    let tuple = FiveTuple {
        client: from,
        server,
        transport: Transport::Tcp,
    };
    let limits = Limits {
        bytes: 512 << 10,
        age: AGE,
    };
    let place = Gate::of(places).enter().expect("free");
    let connection = Connection::new(tuple, tcp, None, Vec::new(), limits, place);
    (connection, client)
}

#[tokio::test]
async fn what_waited_for_this_process_alone_leaves_however_old_it_is() {
    let (connection, mut client) = pair().await;
    let (stats, began) = (Stats::default(), Instant::now());
    let message = [7; 100];
    connection.push_data(began, OWNER, &message);
    // Something else took the thread.
    connection.push_data(began + 10 * AGE, OWNER, &message);
    connection.flush(began + 20 * AGE, &stats);
    let mut read = [0; 200];
    client.read_exact(&mut read).await.expect("both");
    assert_eq!((read, connection.dropped_of(OWNER)), ([7; 200], 0));
}

#[tokio::test]
async fn what_waits_for_a_client_that_does_not_read_is_dropped_when_it_is_old() {
    let (connection, _client) = pair().await;
    let (stats, began) = (Stats::default(), Instant::now());
    while connection.is_idle() {
        connection.push_data(began, OWNER, &[7; 60_000]);
        connection.flush(began, &stats);
    }
    connection.push_data(began, OWNER, &[7; 100]);
    assert_eq!(connection.dropped_of(OWNER), 0);
    connection.push_data(began + AGE, OWNER, &[7; 100]);
    assert_eq!(connection.dropped_of(OWNER), 1);
}
