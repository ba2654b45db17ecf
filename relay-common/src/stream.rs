//! What is known of an RTP stream from passing by (RFC 3550): loss, jitter, bit rate. Never a copy of a packet.

/// Streams (SSRCs) of one direction of a session that are kept.
pub const STREAMS: usize = 4;

/// The fixed header, without its first two bytes: RFC 3550 §5.1.
#[derive(Clone, Copy)]
pub struct RtpHeader {
    /// Sequence number.
    pub sequence: u16,
    /// Without the marker.
    pub payload_type: u16,
    /// Sampling instant in ticks of the stream's clock.
    pub timestamp: u32,
    /// Synchronization source, in host order.
    pub ssrc: u32,
}

/// One SSRC. One cache line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(64))]
pub struct Stream {
    /// Synchronization source.
    pub ssrc: u32,
    /// Ticks of the RTP clock in a second; 0 until it is clear.
    pub clock_rate: u32,
    /// Packets; 0: this place is free.
    pub packets: u64,
    /// Application bytes, RTP headers included.
    pub bytes: u64,
    /// When the first packet came, `CLOCK_MONOTONIC` in ns.
    pub first_time: u64,
    /// When the last packet came whose time was taken.
    pub last_time: u64,
    /// RTP timestamp of the first packet.
    pub first_timestamp: u32,
    /// RTP timestamp that belongs to `last_time`.
    pub last_timestamp: u32,
    /// Sequence number of the first packet.
    pub first_sequence: u16,
    /// Highest sequence number.
    pub last_sequence: u16,
    /// How often it wrapped.
    pub wraps: u16,
    /// Payload type of the last packet whose time was taken.
    pub payload_type: u16,
    /// Low half of `jiffies64` when the last packet came.
    pub last_tick: u32,
    /// Sixteen times the interarrival jitter, in ticks of the RTP clock: RFC 3550 appendix A.8.
    pub jitter: u32,
}

/// The streams of one direction of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Streams(pub [Stream; STREAMS]);

/// Sequence numbers that may be missing at once: RFC 3550 appendix A.1.
const MAX_DROPOUT: u16 = 3000;
/// How late a packet may come.
const MAX_MISORDER: u16 = 100;
/// A place nobody used for so many ticks is free: 16 s to 164 s.
const IDLE_TICKS: u32 = 1 << 14;
/// The clock is read for every packet of streams slower than a packet a tick, else for one packet in so many.
const SAMPLE_MASK: u16 = 15;
/// For how long the RTP clock is watched before its rate is believed, ns.
const WATCH: u64 = 1 << 30;
/// Rates of RTP clocks: RFC 3551 §6, and 90 kHz for video.
const RATES: [u32; 7] = [8_000, 16_000, 24_000, 32_000, 44_100, 48_000, 90_000];

impl Stream {
    /// Packets that should have come: RFC 3550 appendix A.3.
    pub fn expected(&self) -> u64 {
        let last = ((self.wraps as u64) << 16) + self.last_sequence as u64;
        (last + 1).saturating_sub(self.first_sequence as u64)
    }

    /// Whether it is a stream: two packets in sequence.
    #[inline(always)]
    pub fn is_sure(&self) -> bool {
        self.packets > 1
    }

    /// Whether a new stream may take this place.
    #[inline(always)]
    pub fn is_free(&self, tick: u32) -> bool {
        !self.is_sure() || tick.wrapping_sub(self.last_tick) > IDLE_TICKS
    }

    /// What the first packet makes of the place.
    #[inline(always)]
    pub fn begin(&mut self, header: &RtpHeader, bytes: u32, tick: u32, time: u64) {
        self.ssrc = header.ssrc;
        self.clock_rate = 0;
        self.restart(header, bytes, time);
        self.last_tick = tick;
        self.jitter = 0;
    }

    /// Counts from here: the sender jumped.
    #[inline(always)]
    fn restart(&mut self, header: &RtpHeader, bytes: u32, time: u64) {
        self.packets = 1;
        self.bytes = bytes as u64;
        self.first_time = time;
        self.last_time = time;
        self.first_timestamp = header.timestamp;
        self.last_timestamp = header.timestamp;
        self.first_sequence = header.sequence;
        self.last_sequence = header.sequence;
        self.payload_type = header.payload_type;
        self.wraps = 0;
    }

    /// What a further packet changes. `clock` reads `CLOCK_MONOTONIC`, and costs more than all of the rest.
    #[inline(always)]
    pub fn go_on(&mut self, header: &RtpHeader, bytes: u32, tick: u32, clock: impl Fn() -> u64) {
        let ahead = header.sequence.wrapping_sub(self.last_sequence);
        let slow = tick != self.last_tick;
        self.last_tick = tick;
        if !self.is_sure() && ahead != 1 || (MAX_DROPOUT..=u16::MAX - MAX_MISORDER).contains(&ahead)
        {
            self.restart(header, bytes, clock());
            return;
        }
        self.packets += 1;
        self.bytes += bytes as u64;
        if ahead >= MAX_DROPOUT {
            // Late, or twice: RFC 3550 counts it as received.
            return;
        }
        if header.sequence < self.last_sequence {
            self.wraps = self.wraps.wrapping_add(1);
        }
        self.last_sequence = header.sequence;
        if slow || header.sequence & SAMPLE_MASK == 0 {
            self.payload_type = header.payload_type;
            self.measure(header.timestamp, clock());
        }
    }

    #[inline(always)]
    fn measure(&mut self, timestamp: u32, time: u64) {
        if self.clock_rate == 0 {
            let watched = time.wrapping_sub(self.first_time);
            if watched > WATCH {
                let ticks = timestamp.wrapping_sub(self.first_timestamp);
                self.clock_rate = nearest_rate(ticks, watched);
            }
        } else {
            let elapsed = time.wrapping_sub(self.last_time);
            // Above two seconds of silence the difference says nothing about the network.
            if elapsed < 2 * WATCH {
                // A division by 10⁹, to 2⁻¹⁶: 4398 is 2⁴² of it.
                let arrived = (elapsed * (self.clock_rate as u64 * 4398)) >> 42;
                let sent = timestamp.wrapping_sub(self.last_timestamp);
                let difference = (arrived as u32).wrapping_sub(sent);
                let distance = if difference > 1 << 31 {
                    difference.wrapping_neg()
                } else {
                    difference
                };
                if distance < self.clock_rate {
                    self.jitter = self
                        .jitter
                        .wrapping_add(distance)
                        .wrapping_sub((self.jitter + 8) >> 4);
                }
            }
        }
        self.last_time = time;
        self.last_timestamp = timestamp;
    }
}

/// The rate of [`RATES`] within 4 % of `ticks` in `ns`; 0 if there is none.
#[inline(always)]
fn nearest_rate(ticks: u32, ns: u64) -> u32 {
    let per_second = (ticks as u64).wrapping_mul(1_000_000_000) / (ns | 1);
    let mut found = 0;
    let mut i = 0;
    while i < RATES.len() {
        let off = RATES[i] as u64 / 25;
        if per_second + off > RATES[i] as u64 && per_second < RATES[i] as u64 + off {
            found = RATES[i];
        }
        i += 1;
    }
    found
}

impl Streams {
    /// Counts a packet to its stream; the first packets of more streams than there are places count nowhere.
    #[inline(always)]
    pub fn see(&mut self, header: &RtpHeader, bytes: u32, tick: u32, clock: impl Fn() -> u64) {
        let mut i = 0;
        while i < STREAMS {
            let stream = &mut self.0[i];
            if stream.ssrc == header.ssrc && stream.packets != 0 {
                stream.go_on(header, bytes, tick, clock);
                return;
            }
            i += 1;
        }
        let mut i = 0;
        while i < STREAMS {
            let stream = &mut self.0[i];
            if stream.is_free(tick) {
                stream.begin(header, bytes, tick, clock());
                return;
            }
            i += 1;
        }
    }
}
