//! coturn's `turnutils_uclient` with what came after RFC 5766: mobility (RFC 8016), TCP allocations (RFC 6062).
//! Every message must come back.

use anyhow::{Context, Result};
use relay_tests::interop::share::side_by_side;
use relay_tests::interop::uclient::{self, Exchange};
use relay_tests::interop::{Host, Stage, Transport};

/// Its name and its options.
type Run = (&'static str, &'static [&'static str]);

const MOBILITY: &[Run] = &[
    ("mobile channels", &["-M"]),
    ("mobile Send", &["-M", "-s"]),
    ("mobile client to client", &["-M", "-y"]),
];

/// Between two of them: one connects, the other is told of it and binds.
const TCP: &[Run] = &[("TCP allocations", &["-T", "-y"])];

fn every_message_comes_back(host: Host, transport: Transport, runs: &[Run]) -> Result<()> {
    if !uclient::is_there() {
        return Ok(());
    }
    side_by_side(vec![false, true], |v6| {
        let mut stage = Stage::beside(host)?;
        uclient::start_peers(&mut stage)?;
        for (name, options) in runs {
            let exchange = Exchange {
                transport,
                v6,
                options,
            };
            let ran = uclient::loses_nothing(&stage, exchange);
            ran.with_context(|| format!("{name} (v6: {v6})"))?;
        }
        Ok(())
    })
}

#[test]
fn mobile_clients_lose_nothing_through_the_kernel() -> Result<()> {
    every_message_comes_back(Host::NativeXdp, Transport::Udp, MOBILITY)
}

#[test]
fn mobile_clients_lose_nothing_through_an_unprivileged_relay() -> Result<()> {
    every_message_comes_back(Host::Unprivileged, Transport::Udp, MOBILITY)
}

#[test]
fn tcp_allocations_lose_nothing() -> Result<()> {
    every_message_comes_back(Host::Unprivileged, Transport::Tcp, TCP)
}
