//! coturn's `turnutils_uclient` through the relay over UDP, TCP and TLS: channels, Send, client to client, mandatory padding.
//! Every message must come back, and by the path it belongs to.

use anyhow::{Context, Result};
use relay_tests::interop::share::side_by_side;
use relay_tests::interop::uclient::{self, ALL, Exchange};
use relay_tests::interop::{Before, Host, Path, Stage, Transport};

struct Run {
    name: &'static str,
    options: &'static [&'static str],
    path: Path,
    /// Relayed packets one message costs.
    passes: u64,
}

const RUNS: &[Run] = &[
    Run {
        name: "channel",
        options: &[],
        path: Path::Fastest,
        passes: 2,
    },
    Run {
        name: "padded channel",
        options: &["-D"],
        path: Path::Fastest,
        passes: 2,
    },
    Run {
        name: "Send",
        options: &["-s"],
        path: Path::Userspace,
        passes: 2,
    },
    Run {
        name: "client to client",
        options: &["-y"],
        path: Path::Fastest,
        passes: 1,
    },
];

/// A stage for each transport and family: what a relay counted belongs to one run.
fn every_message_comes_back(host: Host) -> Result<()> {
    if !uclient::is_there() {
        return Ok(());
    }
    let ways = Transport::ALL.map(|transport| [false, true].map(|v6| (transport, v6)));
    side_by_side(ways.concat(), |(transport, v6)| {
        let mut stage = Stage::beside(host)?;
        // Our tests' coturn has no certificate.
        if transport == Transport::Tls && stage.host() == Host::Coturn {
            return Ok(());
        }
        uclient::start_peers(&mut stage)?;
        for wanted in RUNS {
            let ran = one(&stage, wanted, transport, v6);
            ran.with_context(|| format!("{} over {transport:?} (v6: {v6})", wanted.name))?;
        }
        Ok(())
    })
}

fn one(stage: &Stage, wanted: &Run, transport: Transport, v6: bool) -> Result<()> {
    let before = Before::read(stage)?;
    let exchange = Exchange {
        transport,
        v6,
        options: wanted.options,
    };
    uclient::loses_nothing(stage, exchange)?;
    let path = transport.path(wanted.path);
    Before::expect(before, stage, path, ALL * wanted.passes)
}

#[test]
fn uclient_loses_nothing_through_the_kernel() -> Result<()> {
    every_message_comes_back(Host::NativeXdp)
}

#[test]
fn uclient_loses_nothing_through_an_unprivileged_relay() -> Result<()> {
    every_message_comes_back(Host::Unprivileged)
}
