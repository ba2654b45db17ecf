//! Limits and RTP statistics of the data path: the arithmetic on virtual time, and the program in the kernel on a stream.

use relay_common::{Counter, Meter, Rate, UP, meter_time};
use relay_tests::cases::{World, world};
use relay_tests::kernel::{KernelEngine, TEST_RUN_INGRESS};
use relay_tests::packet::{channel_data, udp};

const HZ: u64 = 250;

/// What passes of `offered` packets a second of `bytes` bytes during `seconds`, ticks being all there is of time.
fn passed(rate: Rate, offered: u64, bytes: u32, seconds: u64) -> u64 {
    let start = u64::from(u32::MAX) - 300 * HZ;
    let mut due = 0;
    (0..offered * seconds)
        .filter(|i| {
            let now = meter_time(start + i * HZ / offered);
            match rate.pay(due, now, bytes) {
                0 => false,
                after => {
                    due = after;
                    true
                }
            }
        })
        .count() as u64
}

#[test]
fn a_limit_is_kept_within_two_percent_of_a_second() {
    for (bits, bytes) in [
        (1_000_000, 160),
        (4_000_000, 1200),
        (100_000_000, 1200),
        (10_000_000_000, 1400),
    ] {
        let rate = Rate::new(bits, 0, 15_000_000, HZ);
        let whole = bits / 8 / u64::from(bytes);
        for factor in [1, 2, 10] {
            let got = passed(rate, whole * factor, bytes, 1);
            let off = got.abs_diff(whole) as f64 / whole as f64;
            assert!(
                off <= 0.02,
                "{bits} bit/s, {bytes} B, {factor} times as much: {got} of {whole}"
            );
        }
    }
    let got = passed(Rate::new(0, 1000, 15_000_000, HZ), 5000, 50, 1);
    assert!(got.abs_diff(1000) <= 20, "{got}");
}

#[test]
fn the_stricter_of_two_limits_counts() {
    let both = Rate::new(8_000_000, 500, 15_000_000, HZ);
    assert!(passed(both, 5000, 100, 1).abs_diff(500) <= 10, "packets");
    assert!(passed(both, 5000, 10_000, 1).abs_diff(100) <= 2, "bits");
}

#[test]
fn no_limit_lets_everything_through_and_a_rare_packet_passes_any_limit() {
    assert_eq!(passed(Rate::new(0, 0, 0, HZ), 5000, 1400, 1), 5000);
    assert_eq!(passed(Rate::new(64_000, 0, 1, HZ), 1, 8000, 3), 3);
}

fn rtp(sequence: u16, timestamp: u32, ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend(sequence.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0; 20]);
    packet
}

fn sent(world: &World, payload: &[u8]) -> Vec<u8> {
    let pair = &world.limited;
    udp(pair.client, pair.server, &channel_data(0x4001, payload, 0)).bytes()
}

/// Sequence numbers around a wrap, two of them missing, one late, one of another stream, RTCP and noise.
fn stream(world: &World) -> Vec<Vec<u8>> {
    let sequence = [65_533u16, 65_534, 65_535, 2, 3, 1, 4];
    let mut packets: Vec<_> = sequence
        .iter()
        .map(|s| rtp(*s, u32::from(*s) * 160, 7))
        .collect();
    packets.insert(3, rtp(100, 5, 8));
    packets.insert(5, rtp(101, 6, 8));
    let mut rtcp = rtp(0, 0, 9);
    rtcp[1] = 200;
    packets.extend([
        rtcp,
        b"no rtp at all".to_vec(),
        rtp(0, 0, 10)[..11].to_vec(),
    ]);
    packets.iter().map(|packet| sent(world, packet)).collect()
}

#[test]
fn rtp_is_counted_by_stream_with_what_is_missing_on_the_host_and_in_the_kernel() {
    let world = world(TEST_RUN_INGRESS);
    let packets = stream(&world);
    for packet in &packets {
        world.tables.run(packet, TEST_RUN_INGRESS);
    }
    let check = |streams: &relay_common::Streams, engine: &str| {
        let [first, second, third, _] = &streams.0;
        assert_eq!(
            (first.ssrc, first.packets, first.bytes),
            (7, 7, 7 * 32),
            "{engine}"
        );
        assert_eq!(
            first.expected() - first.packets,
            1,
            "{engine}: 0 of 65533..=4 is missing"
        );
        assert_eq!(
            (second.ssrc, second.packets, second.payload_type),
            (8, 2, 96),
            "{engine}"
        );
        assert_eq!(
            third.packets, 0,
            "{engine}: neither RTCP nor noise is a stream"
        );
    };
    check(
        &world.tables.streams.borrow()[world.streams as usize],
        "host",
    );
    let Some(object) = relay_tests::privileged::xdp_object() else {
        return;
    };
    let mut kernel = KernelEngine::new(&object, &world.tables).unwrap();
    for packet in &packets {
        kernel.run(packet).unwrap();
    }
    check(&kernel.streams(world.streams).unwrap(), "kernel");
}

#[test]
fn clock_rate_and_jitter_of_a_stream_come_out_as_rfc_3550_defines_them() {
    let mut world = world(TEST_RUN_INGRESS);
    let tick = 1_000_000_000 / HZ;
    let mut jitter = 0.0;
    let mut last: Option<(u64, u32)> = None;
    // Twenty milliseconds of 48 kHz sound a packet, every other one 6 ms late.
    for i in 0..400u32 {
        let due = u64::from(i) * 20_000_000;
        world.tables.time = (1 << 40) + due + if i % 2 == 1 { 6_000_000 } else { 0 };
        world.tables.jiffies = 1000 + (world.tables.time - (1 << 40)) / tick;
        let timestamp = i * 960;
        world.tables.run(
            &sent(&world, &rtp(i as u16, timestamp, 7)),
            TEST_RUN_INGRESS,
        );
        let known = world.tables.streams.borrow()[world.streams as usize].0[0].clock_rate != 0;
        if let Some((time, stamp)) = last
            && known
        {
            let transit = (world.tables.time - time) as f64 * 48e-6 - f64::from(timestamp - stamp);
            jitter += (transit.abs() - jitter) / 16.0;
        }
        last = Some((world.tables.time, timestamp));
    }
    let stream = world.tables.streams.borrow()[world.streams as usize].0[0];
    assert_eq!(stream.clock_rate, 48_000);
    let measured = f64::from(stream.jitter) / 16.0;
    assert!(
        (measured - jitter).abs() < 3.0,
        "{measured} against {jitter} ticks"
    );
    assert!(
        (measured / 48.0 - 6.0).abs() < 0.3,
        "{measured} ticks are 6 ms"
    );
}

#[test]
fn a_spent_limit_refuses_in_the_kernel_until_time_has_paid() {
    let Some(object) = relay_tests::privileged::xdp_object() else {
        return;
    };
    let mut world = world(TEST_RUN_INGRESS);
    // One packet in a hundred seconds: the first passes, the second does not.
    let meter = world.tables.meter(Meter {
        rate: Rate::new(640, 0, 0, HZ),
        ..Meter::default()
    });
    let slot = world.limited.slot as usize;
    world.tables.sessions[slot].legs[0].meters = [0, meter];
    let mut kernel = KernelEngine::new(&object, &world.tables).unwrap();
    let packet = sent(&world, &[0; 1000]);
    let first = kernel.run(&packet).unwrap();
    assert_eq!(first.counters, [(Counter::Transmitted, 1)]);
    for _ in 0..3 {
        let next = kernel.run(&packet).unwrap();
        assert_eq!(next.counters, [(Counter::RateLimited, 1)]);
        assert_eq!(next.refused, [(world.limited.slot, 0)]);
    }
    let meter = kernel.meter(meter).unwrap();
    assert_eq!(meter.dropped, [3, 0]);
    assert!(meter.due[UP] > 0);
}
