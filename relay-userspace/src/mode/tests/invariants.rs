//! What holds in whatever network: the world's own checks of each order, and these.

use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;

use super::world::{Net, World};
use crate::mode::{Fact, Leg, Machine, Mode, Notice, Order, Policy, Reason, Route};

fn net() -> impl Strategy<Value = Net> {
    prop_oneof![
        4 => Just(Net::Works),
        4 => Just(Net::Silent),
        2 => Just(Net::Refuses),
        1 => Just(Net::Narrow),
        2 => (1u32..60).prop_map(Net::Loses),
    ]
}

/// TCP carries whole bytes or none.
fn tcp() -> impl Strategy<Value = Net> {
    prop_oneof![3 => Just(Net::Works), 1 => Just(Net::Silent), 1 => Just(Net::Refuses)]
}

/// For so many milliseconds.
fn weather() -> impl Strategy<Value = Vec<(u64, Net, Net, bool)>> {
    vec((1u64..40_000, net(), tcp(), any::<bool>()), 0..12)
}

fn mode() -> impl Strategy<Value = Mode> {
    proptest::sample::select(&Mode::ALL[..])
}

fn after(world: &World, millis: u64) -> Duration {
    world.elapsed() + Duration::from_millis(millis)
}

/// Times between leaving UDP and choosing it again although TCP still worked.
fn dwells(world: &World) -> Vec<Duration> {
    let (mut left, mut dwells) = (None, Vec::new());
    for (at, notice) in &world.told {
        match notice {
            Notice::TransportSwitched { to: Leg::Tcp, .. } => left = Some(*at),
            Notice::TransportSwitched {
                to: Leg::Udp,
                reason: Reason::Restored,
                ..
            } => dwells.extend(left.take().map(|left| *at - left)),
            _ => left = None,
        }
    }
    dwells
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn in_any_weather_the_mode_is_kept_and_fine_weather_ends_on_the_best_leg(
        mode in mode(), weather in weather(), media: bool, seed: u64,
    ) {
        let (_, udp, tcp, _) = weather.first().copied().unwrap_or((0, Net::Works, Net::Works, false));
        let mut world = World::seeded(mode, udp, tcp, seed);
        world.media = media;
        for (millis, udp, tcp, moves) in weather {
            (world.udp, world.tcp) = (udp, tcp);
            if moves {
                world.network_changes();
            }
            world.run_to(after(&world, millis));
        }
        for dwell in dwells(&world) {
            prop_assert!(dwell >= Policy::default().dwell, "{:?}: {:#?}", dwell, world.lines());
        }
        (world.udp, world.tcp) = (Net::Works, Net::Works);
        // The longest dwell, and what it takes to notice.
        world.run_to(after(&world, 340_000));
        let best = if mode == Mode::TcpOnly { Leg::Tcp } else { Leg::Udp };
        prop_assert!(
            world.refusal.is_some() || world.route == Some(Route::Only(best)),
            "{:?}: {:#?}", world.route, world.lines(),
        );
    }

    #[test]
    fn when_no_leg_works_there_is_an_error_that_names_each_leg_that_was_tried(
        mode in mode(), udp in net(), tcp in tcp(), good in 0u64..30_000, media: bool, seed: u64,
    ) {
        let mut world = World::seeded(mode, udp, tcp, seed);
        world.media = media;
        world.run_to(Duration::from_millis(good));
        (world.udp, world.tcp) = (Net::Silent, Net::Silent);
        // A connection is given up, then the race after it.
        world.run_to(after(&world, 40_000));
        let refusal = world.refusal.expect("an error");
        let tried: Vec<_> = refusal.tried.iter().map(|tried| tried.leg).collect();
        let allowed = Leg::ALL.into_iter().filter(|leg| mode.allows(*leg));
        prop_assert_eq!(tried, allowed.collect::<Vec<_>>());
        prop_assert!(refusal.waited >= Policy::default().give_up);
        prop_assert_eq!(world.machine.due(world.now), None);
    }
}

#[test]
fn another_network_is_tried_at_once_and_by_udp_first() {
    let mut world = World::new(Mode::UdpOverTcp, Net::Silent, Net::Works);
    world.run_to(Duration::from_secs(5));
    world.udp = Net::Works;
    world.network_changes();
    world.run_to(Duration::from_secs(6));
    assert_eq!(
        world.lines(),
        [
            "1030 selected tcp NoAnswer",
            "5060 switched tcp udp NetworkChanged 60"
        ]
    );
}

#[test]
fn a_tcp_leg_that_suffers_as_well_is_not_switched_to_for_loss() {
    let mut world = World::new(Mode::UdpOverTcp, Net::Loses(30), Net::Works);
    world.tcp_round_trip = Duration::from_millis(400);
    world.run_to(Duration::from_secs(60));
    assert_eq!(world.machine.leg(), Some(Leg::Udp));
    world.tcp_round_trip = Duration::from_millis(40);
    world.run_to(Duration::from_secs(75));
    assert_eq!(world.machine.leg(), Some(Leg::Tcp));
}

#[test]
fn media_that_comes_is_proof_and_hides_no_path_that_only_leads_back() {
    let mut world = World::new(Mode::UdpOverTcp, Net::Works, Net::Works);
    world.media = true;
    world.run_to(Duration::from_secs(10));
    // Everything towards the relay is lost.
    world.udp = Net::Loses(100);
    world.run_to(Duration::from_secs(16));
    let lines = world.lines();
    assert!(
        lines[1].contains("switched udp tcp Loss 0") && lines.len() == 2,
        "{lines:#?}"
    );
}

#[test]
fn media_that_stops_is_doubted_sooner_than_a_quiet_leg() {
    let mut world = World::new(Mode::UdpOverTcp, Net::Works, Net::Works);
    world.media = true;
    world.run_to(Duration::from_secs(10));
    world.udp = Net::Silent;
    world.run_to(Duration::from_secs(20));
    assert_eq!(
        world.lines(),
        [
            "60 selected udp Answered",
            "10700 degraded udp Silence",
            "12530 switched udp tcp Silence 730"
        ]
    );
}

#[test]
fn media_that_pauses_while_its_leg_answers_is_not_doubted() {
    let mut world = World::new(Mode::UdpOverTcp, Net::Works, Net::Works);
    for second in 1..200 {
        world.media = second % 2 == 0;
        world.run_to(Duration::from_millis(977 * second));
    }
    assert_eq!(world.lines(), ["60 selected udp Answered"]);
}

#[test]
fn a_leg_that_jitters_or_loses_one_of_twenty_is_neither_doubted_nor_left() {
    for (percent, late) in [(0, 200), (5, 0), (5, 50)] {
        for seed in 1..4 {
            let (udp, tcp) = (Net::Rough(percent, late), Net::Works);
            let mut world = World::seeded(Mode::UdpOverTcp, udp, tcp, seed);
            world.media = true;
            world.run_to(Duration::from_secs(200));
            let lines = world.lines();
            assert_eq!(lines.len(), 1, "{percent} %, {late} ms: {lines:#?}");
        }
    }
}

#[test]
fn long_media_leaves_a_way_that_lets_only_short_packets_pass_and_short_media_stays() {
    for (bytes, leg) in [(1100, Leg::Tcp), (200, Leg::Udp)] {
        let mut world = World::new(Mode::UdpOverTcp, Net::Works, Net::Works);
        (world.media, world.media_bytes) = (true, bytes);
        world.machine.take(world.now, Fact::Carries { bytes });
        world.run_to(Duration::from_secs(10));
        world.udp = Net::Narrow;
        world.run_to(Duration::from_secs(16));
        assert_eq!(
            world.machine.leg(),
            Some(leg),
            "{bytes}: {:#?}",
            world.lines()
        );
    }
}

#[test]
fn a_leg_that_the_relay_refuses_is_told_and_never_tried_again() {
    let mut world = World::new(Mode::UdpOverTcp, Net::Works, Net::Works);
    world.run_to(Duration::from_secs(2));
    let rule = "this user may use TCP only".to_owned();
    world.machine.take(world.now, Fact::Refused(Leg::Udp, rule));
    world.run_to(Duration::from_secs(100));
    assert_eq!(
        world.lines(),
        [
            "60 selected udp Answered",
            "2000 refused udp this user may use TCP only",
            "2030 switched udp tcp Failed 500"
        ]
    );
}

#[test]
fn the_refusal_says_what_was_tried_for_how_long_and_what_to_open() {
    let mut world = World::new(Mode::UdpOnly, Net::Silent, Net::Works);
    world.run_to(Duration::from_secs(30));
    let refusal = world.refusal.expect("an error");
    assert_eq!(
        refusal.to_string(),
        "UDP_ONLY: no way to the relay for 10.0 s; udp, tried for 10.0 s: no answer to 22 probes"
    );
    assert_eq!(
        refusal.advice("relay.example:3478", "relay.example:443"),
        "let the firewall pass UDP to relay.example:3478, both directions, or use UDP_OVER_TCP"
    );
}

#[test]
fn a_route_that_was_not_ordered_is_told_to_nobody() {
    let start = Instant::now();
    let mut machine = Machine::new(Mode::UdpOverTcp, Policy::default(), start);
    machine.take(start, Fact::Opened(Leg::Udp));
    let orders = |machine: &mut Machine| std::iter::from_fn(|| machine.next_order()).collect();
    let asked: Vec<Order> = orders(&mut machine);
    let probe = asked.iter().find_map(|order| match order {
        Order::Probe { probe, .. } => Some(*probe),
        _ => None,
    });
    let (leg, probe) = (Leg::Udp, probe.expect("a probe"));
    machine.take(start, Fact::Answered { leg, probe });
    let ordered: Vec<Order> = orders(&mut machine);
    assert!(ordered.contains(&Order::Use(Route::Only(Leg::Udp))));
    // An older order, carried out late.
    machine.take(start, Fact::InUse(Route::Only(Leg::Tcp)));
    assert_eq!(machine.leg(), None);
    machine.take(start, Fact::InUse(Route::Only(Leg::Udp)));
    assert_eq!(machine.leg(), Some(Leg::Udp));
}
