//! The ways in which `mutate` breaks the data path. Texts that must stand once in their file.

use super::Mutation;

macro_rules! mutations {
    ($($file:literal: $what:literal, $from:literal => $to:literal;)*) => {
        pub const MUTATIONS: &[Mutation] =
            &[$(Mutation { file: $file, what: $what, from: $from, to: $to, about: "" }),*];
    };
}

mutations! {
    "engine/ip.rs": "the TTL is not decremented", "kept.ttl_protocol.wrapping_sub(HOP)" => "kept.ttl_protocol";
    "engine/ip.rs": "the hop limit is not decremented", "kept.next_header_hop_limit.wrapping_sub(HOP)" => "kept.next_header_hop_limit";
    "engine/ip.rs": "the TTL is decremented, its checksum not told", "            + !HOP as u32;" => "            ;";
    "engine/ip.rs": "the header checksum forgets the new length", "            + total_length as u32\n            + !HOP as u32" => "            + !HOP as u32";
    "engine/ip.rs": "the header checksum forgets the addresses", "recipe.arrival.header_delta as u32" => "0u32";
    "engine/ip.rs": "fragments are relayed", "0x3fffu16.to_be()" => "0";
    "engine/ip.rs": "later fragments are relayed", "0x3fffu16.to_be()" => "0x2000u16.to_be()";
    "engine/ip.rs": "IP options are taken for UDP", "(version_ihl ^ 0x45) as u32 | (protocol" => "(protocol";
    "engine/ip.rs": "another protocol is taken for UDP", "(version_ihl ^ 0x45) as u32 | (protocol ^ UDP) as u32 |" => "(version_ihl ^ 0x45) as u32 |";
    "engine/ip.rs": "the client of a session is not compared on IPv4", "head.get::<u32>(at + offset_of!(Ipv4, source)) == m.remote.0[0]" => "true";
    "engine/ip.rs": "our address is not compared on IPv4", "&& head.get::<u32>(at + offset_of!(Ipv4, destination)) == m.local.0[0]" => "";
    "engine/ip.rs": "half of the client's IPv6 address is not compared", "&& head.get::<u64>(source + 8) == m.remote.halves()[1]" => "";
    "engine/ip.rs": "half of our IPv6 address is not compared", "&& head.get::<u64>(destination + 8) == m.local.halves()[1]" => "";
    "engine/ip.rs": "a new IPv6 header has no flow label", "recipe.arrival.checksum_delta as u32" => "0u32";
    "engine/ip.rs": "a new IPv6 header forgets the traffic class", "6 << 28 | (traffic.class as u32) << 20 | label" => "6 << 28 | label";
    "engine/ip.rs": "a new IPv4 header may be fragmented", "u16 = 0x4000u16.to_be()" => "u16 = 0";
    "engine/ip.rs": "a new IPv4 header sums wrong", "            + ttl_protocol as u64\n" => "";
    "engine.rs": "a deadline is ignored", "arrival.deadline <= now" => "false";
    "engine.rs": "a deadline is inverted", "arrival.deadline <= now" => "arrival.deadline > now";
    "engine.rs": "the other leg's deadline counts", "arrival.deadline <= now" => "departure.deadline <= now";
    "engine.rs": "a packet leaves by the leg it came by", "&session.legs[(found.leg & 1 ^ 1) as usize]" => "&session.legs[(found.leg & 1) as usize]";
    "engine.rs": "a used-up hop limit is relayed", "H::hop_limit(&head, L3) <= 1" => "H::hop_limit(&head, L3) < 1";
    "engine.rs": "an unresolved neighbour is sent to", "if next_hop.ifindex == 0 {" => "if false {";
    "engine.rs": "the VLAN is not compared", "if next_hop.vlan != vlan {" => "if false {";
    "engine.rs": "the VLAN's priority counts as its number", "& VLAN_ID_MASK" => "";
    "engine.rs": "the MTU is ignored", "if udp_length + ip_length > next_hop.mtu as u32 {" => "if false {";
    "engine.rs": "the MTU is one too large", "if udp_length + ip_length > next_hop.mtu as u32 {" => "if udp_length + ip_length > next_hop.mtu as u32 + 1 {";
    "engine.rs": "the MTU is one too small", "if udp_length + ip_length > next_hop.mtu as u32 {" => "if udp_length + ip_length >= next_hop.mtu as u32 {";
    "engine.rs": "the MTU forgets IPv6's longer header", "if leaves_by_v6 { V6::LEN }" => "if leaves_by_v6 { V4::LEN }";
    "engine.rs": "zero checksums go to IPv6", "0 if H::IS_V6 || leaves_by_v6 =>" => "0 if H::IS_V6 =>";
    "engine.rs": "half-made checksums are relayed", "if checksum == checksum::fold32(arrival.pseudo_sum as u32 + length as u32) {" => "if false {";
    "engine.rs": "UDP's length may differ from IP's", "        || udp_length != H::payload_length(&head, L3)\n" => "";
    "engine.rs": "a frame may be shorter than its datagram", "        || frame.length() < l4 + udp_length as usize\n" => "";
    "engine.rs": "ChannelData may be followed by anything", "if padding > 3 {" => "if false {";
    "engine.rs": "ChannelData may be padded by four", "if padding > 3 {" => "if padding > 4 {";
    "engine.rs": "ChannelData may not be padded by three", "if padding > 3 {" => "if padding > 2 {";
    "engine.rs": "STUN is taken for ChannelData", "& 0xc000 == 0x4000" => "& 0x8000 == 0";
    "engine.rs": "ports without flows relay", "if port.kind & PORT_IS_FLOW == 0 {" => "if false {";
    "engine.rs": "bytes count the UDP header", "tables.charge(arrival, packet.data_length as u64)" => "tables.charge(arrival, packet.data_length as u64 + 8)";
    "engine.rs": "bytes count for the other leg", "tables.charge(arrival," => "tables.charge(departure,";
    "engine.rs": "what another card should send goes back", "if next_hop.ifindex == frame.ingress() {" => "if true {";
    "engine/lookup.rs": "a generation is not compared", "session.generation == generation\n" => "true\n";
    "engine/lookup.rs": "ports and channel are not compared", "&& m.ends() == wanted.ends::<H>()" => "";
    "engine/lookup.rs": "addresses are not compared", "&& H::matches(&wanted.head, wanted.l3, m)" => "";
    "engine/lookup.rs": "the second bucket is not searched", "search::<H>(wanted, place.second, place.tag, tables)" => "NOTHING";
    "engine/lookup.rs": "a wrong shortcut ends the search", "        if found.session.is_some() {\n            return found;\n        }\n    }\n    let [remote" => "        return found;\n    }\n    let [remote";
    "engine/lookup.rs": "no slot is guessed", "tables.fetch(place.guess(tables.slots()));" => "";
    "engine/lookup.rs": "a channel's slot is not guessed", "matches!(wanted.framing, Framing::Channel) || port.kind" => "port.kind";
    "engine/lookup.rs": "a peer's slot is guessed", "port.kind & PORT_IS_OPEN != 0" => "true";
    "index.rs": "channels of a client are guessed far apart", "product(ports, 0, 0)" => "product(ports, channel_family, 0)";
    "index.rs": "all channels of a client have one guess", "clients ^ self.channel as u32 & 7" => "clients";
    "index.rs": "all have one guess", "((self.ends as u64 * slots as u64) >> 32) as u32" => "0";
    "session.rs": "another page is beside a slot", "let page = within * SLOT / PAGE * PAGE;" => "let page = (within * SLOT / PAGE + 1) * PAGE;";
    "engine/lookup.rs": "a colliding tag ends the search", "            if found.session.is_some() {\n                return found;\n            }\n        }\n    }\n    NOTHING" => "            return found;\n        }\n    }\n    NOTHING";
    "engine/rewrite.rs": "a sum of zero is sent as no checksum", "checksum::never_zero(checksum::adjust(old, delta))" => "checksum::adjust(old, delta)";
    "engine/rewrite.rs": "no checksum becomes one", "        0 => 0,\n" => "        0 => 0xffff,\n";
    "engine/rewrite.rs": "the length counts once in the checksum", "+ 2 * (!old_length" => "+ (!old_length";
    "engine/rewrite.rs": "the popped channel stays in the checksum", "delta += !number as u32 + !length as u32;" => "delta += !length as u32;";
    "engine/rewrite.rs": "the pushed channel is not in the checksum", "delta += number as u32 + packet.data_length.to_be() as u32;" => "delta += packet.data_length.to_be() as u32;";
    "engine/rewrite.rs": "padding stays in the checksum", "delta += padding::<H, L3>(frame, packet)?;" => "";
    "engine/rewrite.rs": "one byte of padding is enough", "in unpadded..unpadded + 3 {" => "in unpadded..unpadded + 1 {";
    "engine/rewrite.rs": "padding is summed in the wrong half", "if offset & 1 == 0 {" => "if offset & 1 == 1 {";
    "engine/rewrite.rs": "the source port is the client's", "head.put(l4 + offset_of!(Udp, source), departure.local_port);" => "head.put(l4 + offset_of!(Udp, source), recipe.arrival.matches.remote_port);";
    "engine/rewrite.rs": "the destination port is our own", "departure.remote_port" => "departure.local_port";
    "engine/rewrite.rs": "the channel's length is the datagram's", "head.put(l4 + UDP_LEN as usize + 2, packet.data_length.to_be());" => "head.put(l4 + UDP_LEN as usize + 2, recipe.udp_length.to_be());";
    "engine/rewrite.rs": "the channel is the client's own", "head.put(l4 + UDP_LEN as usize, departure.channel);" => "head.put(l4 + UDP_LEN as usize, recipe.arrival.matches.channel);";
    "engine/rewrite.rs": "the tag of a VLAN is lost", "head.put(ETHERNET_LEN, tci);" => "head.put(ETHERNET_LEN, tci & 0xff0f);";
    "engine/rewrite.rs": "MAC addresses stay", "    head.put(0, macs[0]);\n" => "";
    "checksum.rs": "a carry is forgotten", "    let sum = (sum & 0xffff) + (sum >> 16);\n    let sum = (sum & 0xffff) + (sum >> 16);\n    sum as u16\n}\n\n/// RFC 1624 equation 3" => "    let sum = (sum & 0xffff) + (sum >> 16);\n    sum as u16\n}\n\n/// RFC 1624 equation 3";
    "checksum.rs": "a session's delta forgets its ports", "        + u64::from(departure.remote_port)\n" => "";
    "checksum.rs": "the pseudo header forgets the protocol", "words(&arrival.local.0) + u64::from(protocol)" => "words(&arrival.local.0)";
    "index.rs": "a leg is lost in the index", "self.0 as u32 & 1\n" => "0\n";
    "index.rs": "a slot is lost in the index", "(self.0 >> 1) as u32 & 0x7f_ffff" => "(self.0 >> 1) as u32 & 0x1f";
}
