//! Every verdict of the data path, once: the kernel counts by it, metrics and docs are named after it.

macro_rules! counters {
    ($($variant:ident, $name:literal, $text:literal;)*) => {
        /// Why a packet went where it went. The value is the index in `COUNTERS`.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u32)]
        pub enum Counter { $(#[doc = $text] $variant),* }

        impl Counter {
            /// All of them, in index order.
            pub const ALL: &'static [Counter] = &[$(Counter::$variant),*];
            /// Number of counters.
            pub const COUNT: usize = Self::ALL.len();
            /// Name in metrics: `relay_kernel_packets_total{verdict="…"}`.
            pub const fn name(self) -> &'static str {
                match self { $(Counter::$variant => $name),* }
            }
            /// Whether it is the packet's end.
            #[inline(always)]
            pub const fn is_drop(self) -> bool {
                self as u32 >= Counter::RateLimited as u32
            }
            /// One sentence for an operator.
            pub const fn describe(self) -> &'static str {
                match self { $(Counter::$variant => $text),* }
            }
        }
    };
}

counters! {
    Transmitted, "transmitted", "Relayed in the kernel, out of the card it came in by.";
    Redirected, "redirected", "Relayed in the kernel, out of another card.";
    NotIp, "not_ip", "Passed: neither IPv4 nor IPv6, or shorter than its headers say.";
    NotUdp, "not_udp", "Passed: not UDP.";
    NotOurs, "not_ours", "Passed: UDP to a port the relay does not use.";
    NotChannelData, "not_channel_data", "Passed: to the TURN port but not ChannelData (STUN, or junk).";
    NoSession, "no_session", "Passed: to a relay port, but no session of the kernel matches.";
    Expired, "expired", "Passed: the session's deadline is over; userspace decides.";
    Fragment, "fragment", "Passed: IP fragment; the host reassembles, userspace relays.";
    IpOptions, "ip_options", "Passed: IPv4 options.";
    ExtensionHeader, "extension_header", "Passed: IPv6 extension header.";
    BadLength, "bad_length", "Passed: UDP or ChannelData length does not fit the packet.";
    HopLimit, "hop_limit", "Passed: TTL or hop limit used up.";
    ZeroChecksum, "zero_checksum", "Passed: UDP checksum zero where IPv6 needs one.";
    PartialChecksum, "partial_checksum", "Passed: the sender left the UDP checksum to hardware that is not there; on a generic card, or above 2,048 bytes.";
    NoNextHop, "no_next_hop", "Passed: the neighbour towards the destination is not resolved.";
    TooBig, "too_big", "Passed: would not fit the MTU of the outgoing link.";
    VlanChange, "vlan_change", "Passed: would leave on another VLAN than it came by.";
    NoRoom, "no_room", "Passed: the driver gave no headroom for the longer header.";
    RateLimited, "rate_limited", "Dropped: over a limit of its session or its user.";
    RewriteFault, "rewrite_fault", "Dropped: the frame changed under the rewrite; always 0.";
    ShieldKnown, "shield_known", "Dropped: from someone known, over the limit of one address or session.";
    ShieldPrefix, "shield_prefix", "Dropped: from someone unknown, over the limit of a source prefix.";
    ShieldTotal, "shield_total", "Dropped: from someone unknown, over the limit of all of them on a CPU.";
    ShieldJunk, "shield_junk", "Dropped: from someone unknown, what only known ones send or nobody, over its low limits.";
    ShieldClosed, "shield_closed", "Dropped: to a port of the relay's range that nobody uses, over the limit of all of them on a CPU.";
}
