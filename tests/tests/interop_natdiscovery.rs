//! coturn's `turnutils_natdiscovery` asks a relay with `turn.behavior_discovery` (RFC 5780) how the way to it behaves: an
//! open one, and one behind a firewall that lets in only answers.

use relay_tests::home::Home;
use relay_tests::interop::Tools;
use relay_tests::relay::Relay;
use relay_tests::topology::{CLIENT_CARD, EDGE_SERVER_V4, EDGE_V4, Topology};

const FIREWALL: &str = "add table inet lab; \
    add chain inet lab in { type filter hook input priority 0; policy drop; }; \
    add rule inet lab in ct state established accept";

#[test]
fn a_client_learns_how_its_way_maps_and_filters() {
    if Tools::or_skip(&["turnutils_natdiscovery", "nft"]).is_none() {
        return;
    }
    let topology = Topology::new().unwrap();
    let home = std::sync::Arc::new(Home::new().unwrap());
    let file = home.path().join("relay.toml");
    let pair = format!("[\"{EDGE_V4}:3478\", \"{EDGE_SERVER_V4}:3479\"]");
    std::fs::write(&file, format!("[turn]\nbehavior_discovery = {pair}\n")).unwrap();
    let file = file.to_str().unwrap();
    let arguments = ["--config", file, "--interface", CLIENT_CARD];
    let relay = Relay::start_at(home, &topology.edge, &arguments).unwrap();
    let asked = |options: &[&str]| {
        let arguments = [options, &[EDGE_V4]].concat();
        let said = topology.client.run("turnutils_natdiscovery", &arguments);
        said.unwrap_or_else(|error| panic!("{error:#}\n{}", relay.log()))
    };
    for padding in [&[][..], &["-P"]] {
        let said = asked(&[&["-m", "-f"], padding].concat());
        for found in [
            "NAT with Endpoint Independent Mapping!",
            "NAT with Endpoint Independent Filtering!",
        ] {
            assert!(said.contains(found), "{said}");
        }
        let other = format!("Other addr: : {EDGE_SERVER_V4}:3479");
        assert!(said.contains(&other), "{said}");
    }
    topology.client.run("nft", &[FIREWALL]).unwrap();
    let said = asked(&["-f"]);
    assert!(
        said.contains("Address and Port Dependent Filtering!"),
        "{said}"
    );
}
