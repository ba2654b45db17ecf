//! Rules of what the relay listens on: no two sockets in each other's way, and limits a connection can live with.

use std::net::SocketAddr;
use std::time::Duration;

use super::at_least_one;
use crate::config::Config;
use crate::config::fault::{At, Faults, Place, Wrong};
use crate::config::raw::Raw;

/// A datagram of 64 KiB in its frame.
const SMALLEST_QUEUE: usize = 65_600;

pub fn streams(raw: &Raw, faults: &mut Faults) {
    let least = SMALLEST_QUEUE;
    if let Some(at) = raw.max_queue_bytes.as_ref().filter(|at| at.value < least) {
        let problem = format!("{} bytes do not hold the largest datagram", at.value);
        let remedy = format!("write {least} or more");
        faults.add(&at.place, Wrong::new(problem, remedy));
    }
    if let Some(at) = raw.max_queue_age.as_ref().filter(|at| at.value.is_zero()) {
        let remedy = "write how late data may be, usually 100ms to 500ms";
        faults.add(&at.place, Wrong::new("nothing could ever wait", remedy));
    }
    at_least_one(&raw.max_waiting, faults);
    at_least_one(&raw.max_waiting_per_prefix, faults);
    let second = Duration::from_secs(1);
    if let Some(at) = raw.setup_timeout.as_ref().filter(|at| at.value < second) {
        let remedy = "write 1s or more, usually 15s";
        faults.add(&at.place, Wrong::new("no client is that fast", remedy));
    }
}

/// Two addresses of which a Binding request may ask for the other (RFC 5780 §3); none at all: it is not offered.
pub fn behavior(
    said: &Option<Vec<At<SocketAddr>>>,
    faults: &mut Faults,
) -> Option<[SocketAddr; 2]> {
    let all = said.as_ref().filter(|all| !all.is_empty())?;
    let place = &all[0].place;
    let remedy = "write two addresses of this host like [\"192.0.2.1:3478\", \"192.0.2.2:3479\"]";
    let [first, second] = &all[..] else {
        let problem = format!("{} addresses, not two", all.len());
        faults.add(place, Wrong::new(problem, remedy));
        return None;
    };
    let (a, b) = (first.value, second.value);
    let vague = |at: SocketAddr| at.ip().is_unspecified() || at.port() == 0;
    let problem = match () {
        () if vague(a) || vague(b) => "needs an address and a port in each",
        () if a.is_ipv4() != b.is_ipv4() => "the two are of different families",
        () if a.ip() == b.ip() || a.port() == b.port() => {
            "the two must differ in both address and port"
        }
        () => return Some([a, b]),
    };
    faults.add(place, Wrong::new(problem, remedy));
    None
}

/// Two sockets that cannot both be bound: same family and port, and the same address or a wildcard.
pub fn clashes(raw: &Raw, faults: &mut Faults) {
    let mut udp = Taken::of("udp");
    match &raw.listen_udp {
        Some(all) => all
            .iter()
            .for_each(|at| udp.want(at.value, &at.place, faults)),
        None => udp.by_default(Config::default().listen.udp),
    }
    for at in raw.forwards.iter().flatten() {
        udp.want(at.value.listen, &at.place, faults);
    }
    // Defaults of these are only tried: whoever names a port has it.
    let mut tcp = Taken::of("tcp");
    let named = [&raw.listen_tcp, &raw.listen_tls];
    for at in named.into_iter().flatten().flatten() {
        tcp.want(at.value, &at.place, faults);
    }
    if let Some(At {
        value: Some(address),
        place,
    }) = &raw.metrics_listen
    {
        tcp.want(*address, place, faults);
    }
}

/// The ports of one transport, and who has each.
struct Taken {
    transport: &'static str,
    by: Vec<(SocketAddr, String)>,
}

impl Taken {
    fn of(transport: &'static str) -> Self {
        let by = Vec::new();
        Self { transport, by }
    }

    fn by_default(&mut self, addresses: Vec<SocketAddr>) {
        let who = format!("listen.{} (default)", self.transport);
        let each = addresses.into_iter().map(|address| (address, who.clone()));
        self.by.extend(each);
    }

    fn want(&mut self, address: SocketAddr, place: &Place, faults: &mut Faults) {
        if let Some((_, other)) = self.by.iter().find(|(other, _)| clash(address, *other)) {
            let problem = format!("{}/{address} is already taken by {other}", self.transport);
            let remedy = "choose another port or address";
            faults.add(place, Wrong::new(problem, remedy));
        }
        let who = format!("{} ({})", place.key, place.origin);
        self.by.push((address, who));
    }
}

fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    let wildcard = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0
        && a.port() == b.port()
        && a.is_ipv4() == b.is_ipv4()
        && (wildcard || a.ip() == b.ip())
}
