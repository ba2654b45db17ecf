//! Times a program on ever new packets: `BPF_PROG_TEST_RUN` would feed it its own output. Puts a packet of the next
//! flow into the buffer, then tail-calls the program under test. Its own cost is measured with `nothing` as the target.

use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::{Array, PerCpuArray, ProgramArray};
use aya_ebpf::{bindings::xdp_action, programs::XdpContext};
use relay_common::wire::Udp;
use relay_common::{checksum, engine::Frame};
use shared::{HEADER_WORDS, Harness};

use crate::frame::XdpFrame;

#[path = "shared.rs"]
pub mod shared;

/// Where the channel number is behind Ethernet, IPv4 and UDP.
const CHANNEL_V4: usize = 42;

#[map]
static HARNESS: Array<Harness> = Array::with_max_entries(1, 0);
#[map]
static RANDOM: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);
#[map]
static MADE: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);
#[map]
static TARGET: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// The harness: see the head of this file.
#[xdp]
pub fn harness(ctx: XdpContext) -> u32 {
    if prepare(&ctx).is_none() {
        return xdp_action::XDP_ABORTED;
    }
    // SAFETY: a program array of this program, called with its own context.
    unsafe { TARGET.tail_call(&ctx, 0) };
    xdp_action::XDP_ABORTED
}

/// Packets `generate` sent.
#[map]
static SENT: PerCpuArray<u64> = PerCpuArray::with_max_entries(2, 0);

/// The same packets, sent out of the interface of a live-frames test run: a generator.
#[xdp]
pub fn generate(ctx: XdpContext) -> u32 {
    match emit(&ctx) {
        Some(true) => xdp_action::XDP_TX,
        _ => xdp_action::XDP_DROP,
    }
}

#[inline(always)]
fn emit(ctx: &XdpContext) -> Option<bool> {
    let (sent, turns) = (SENT.get_ptr_mut(0)?, SENT.get_ptr_mut(1)?);
    // SAFETY: this CPU's values; test runs of one CPU do not overlap.
    unsafe {
        *turns += 1;
        if *turns < HARNESS.get(0)?.one_in as u64 {
            return Some(false);
        }
        *turns = 0;
    }
    prepare(ctx)?;
    // SAFETY: as above.
    unsafe { *sent += 1 };
    Some(true)
}

/// The empty target.
#[xdp]
pub fn nothing(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_TX
}

/// A target that moves the start by `Harness::shift`, which the harness then takes back.
#[xdp]
pub fn shift(ctx: XdpContext) -> u32 {
    let Some(harness) = HARNESS.get(0) else {
        return xdp_action::XDP_ABORTED;
    };
    XdpFrame::new(&ctx).move_start(harness.shift);
    xdp_action::XDP_TX
}

#[inline(always)]
fn prepare(ctx: &XdpContext) -> Option<()> {
    let harness = HARNESS.get(0)?;
    let mut frame = XdpFrame::new(ctx);
    // Hidden from the compiler, which would subtract the pointers in 32 bits; the verifier forbids that.
    let extra = core::hint::black_box(frame.length()) as i32 - harness.length as i32;
    if extra != 0 {
        frame.move_start(extra);
    }
    let random = RANDOM.get_ptr_mut(0)?;
    // SAFETY: this CPU's value; test runs of one CPU do not overlap.
    let state = unsafe { &mut *random };
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    let flow = (((*state >> 32) * harness.flows as u64) >> 32) as u32;
    frame.store(0, HeaderBytes(harness.header))?;
    match harness.is_v6 {
        0 => choose::<26, 34>(&mut frame, harness, flow),
        _ => choose::<34, 54>(&mut frame, harness, flow),
    }?;
    number(&mut frame, harness)
}

/// Gives an RTP packet its sequence number: every flow's grows by about one a packet.
#[inline(always)]
fn number(frame: &mut XdpFrame, harness: &Harness) -> Option<()> {
    if harness.rtp == 0 {
        return Some(());
    }
    let made = MADE.get_ptr_mut(0)?;
    // SAFETY: this CPU's value; test runs of one CPU do not overlap.
    let made = unsafe {
        *made += 1;
        *made
    };
    let sequence = (made / (harness.flows as u64 | 1)) as u16;
    // Behind Ethernet, IP, UDP and perhaps ChannelData.
    match harness.rtp {
        42 => frame.store(44, sequence.to_be()),
        46 => frame.store(48, sequence.to_be()),
        62 => frame.store(64, sequence.to_be()),
        _ => frame.store(68, sequence.to_be()),
    }
}

/// Turns the packet of flow 0 into that of `flow`, with checksums that stay right. `ADDRESS` is where the last four
/// bytes of the source address are, `UDP` where the UDP header starts.
#[inline(always)]
fn choose<const ADDRESS: usize, const UDP: usize>(
    frame: &mut XdpFrame,
    harness: &Harness,
    mut flow: u32,
) -> Option<()> {
    let mut udp: Udp = frame.load(UDP)?;
    let mut channel_moved = 0;
    if ADDRESS == 26 && harness.channel_bits != 0 {
        // At most as many as a channel number has.
        let bits = harness.channel_bits & 15;
        let old: u16 = frame.load(CHANNEL_V4)?;
        let channel = add(old, flow & ((1 << bits) - 1));
        frame.store(CHANNEL_V4, channel)?;
        channel_moved = !old as u32 + channel as u32;
        flow >>= bits;
    }
    let old_address: u32 = frame.load(ADDRESS)?;
    let address = u32::from_be(old_address)
        .wrapping_add(flow & harness.address_mask)
        .to_be();
    let source = add(udp.source, flow & harness.source_port_mask);
    let destination = add(udp.destination, flow & harness.port_mask);
    let moved = checksum::fold(!old_address as u64 + address as u64) as u32;
    let ports = !udp.source as u32 + source as u32 + !udp.destination as u32 + destination as u32;
    let delta = moved + ports + channel_moved;
    udp = Udp {
        source,
        destination,
        checksum: checksum::never_zero(checksum::adjust(udp.checksum, delta)),
        ..udp
    };
    frame.store(UDP, udp)?;
    frame.store(ADDRESS, address)?;
    if ADDRESS == 26 {
        let header: u16 = frame.load(24)?;
        frame.store(24, checksum::adjust(header, moved))?;
    }
    Some(())
}

#[inline(always)]
fn add(port: u16, offset: u32) -> u16 {
    u16::from_be(port).wrapping_add(offset as u16).to_be()
}

#[derive(Clone, Copy)]
#[repr(C)]
struct HeaderBytes([u64; HEADER_WORDS]);

// SAFETY: an array of integers.
unsafe impl relay_common::Pod for HeaderBytes {}
