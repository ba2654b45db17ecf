//! Every cause the TURN server counts, by name. One list for the code, the metrics and their documentation.

use std::collections::BTreeMap;

macro_rules! counters {
    ($($variant:ident $name:literal $describe:literal;)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Counter { $($variant),* }

        impl Counter {
            pub const ALL: &'static [Counter] = &[$(Counter::$variant),*];

            pub fn name(self) -> &'static str {
                match self { $(Counter::$variant => $name),* }
            }

            pub fn describe(self) -> &'static str {
                match self { $(Counter::$variant => $describe),* }
            }
        }
    };
}

counters! {
    BindingAnswered "turn_binding_answered" "Binding requests answered.";
    AllocationsCreated "turn_allocations_created" "Allocations made.";
    AllocationsExpired "turn_allocations_expired" "Allocations that ended because nobody refreshed them.";
    AllocationsDeleted "turn_allocations_deleted" "Allocations ended by their client.";
    AllocationsKilled "turn_allocations_killed" "Allocations ended by the operator.";
    AllocationsRevoked "turn_allocations_revoked" "Allocations ended because their user, password or secret was removed from the configuration.";
    AllocationsDisconnected "turn_allocations_disconnected" "Allocations that ended with the connection of their client.";
    AllocationsMoved "turn_allocations_moved" "Moves of an allocation to another 5-tuple of its client, by mobility ticket.";
    Refreshed "turn_refreshed" "Refresh requests that gave an allocation a new lifetime.";
    PermissionsCreated "turn_permissions_created" "Permissions installed or refreshed.";
    ChannelsBound "turn_channels_bound" "Channels bound.";
    ChannelsRefreshed "turn_channels_refreshed" "Channel bindings refreshed.";
    ChannelsExpired "turn_channels_expired" "Channel bindings that ended because nobody refreshed them.";
    ConnectionsOpened "turn_connections_opened" "Connections to peers made for clients (RFC 6062).";
    ConnectionsAccepted "turn_connections_accepted" "Connections of peers accepted for clients (RFC 6062).";
    ConnectionsRefused "turn_connections_refused" "Connections of peers closed: no permission, or too many.";
    ConnectionsBound "turn_connections_bound" "Peer connections joined with a data connection of their client.";
    Retransmissions "turn_retransmissions" "Requests answered as a repetition of one already executed.";
    Answered300 "turn_answered_300" "Requests answered 300 (Try Alternate) while the relay drains.";
    Answered400 "turn_answered_400" "Requests answered 400 (Bad Request).";
    Answered401 "turn_answered_401" "Requests answered 401 (Unauthenticated), first contacts included.";
    Answered403 "turn_answered_403" "Requests answered 403 (Forbidden): the peer is denied.";
    Answered405 "turn_answered_405" "Requests answered 405 (Mobility Forbidden).";
    Answered420 "turn_answered_420" "Requests answered 420 (Unknown Attribute).";
    Answered437 "turn_answered_437" "Requests answered 437 (Allocation Mismatch).";
    Answered438 "turn_answered_438" "Requests answered 438 (Stale Nonce).";
    Answered440 "turn_answered_440" "Requests answered 440 (Address Family not Supported).";
    Answered441 "turn_answered_441" "Requests answered 441 (Wrong Credentials).";
    Answered442 "turn_answered_442" "Requests answered 442 (Unsupported Transport Protocol).";
    Answered443 "turn_answered_443" "Requests answered 443 (Peer Address Family Mismatch).";
    Answered446 "turn_answered_446" "Requests answered 446 (Connection Already Exists).";
    Answered447 "turn_answered_447" "Requests answered 447 (Connection Timeout or Failure).";
    Answered486 "turn_answered_486" "Requests answered 486 (Allocation Quota Reached).";
    Answered500 "turn_answered_500" "Requests answered 500 (Server Error).";
    Answered508 "turn_answered_508" "Requests answered 508 (Insufficient Capacity).";
    FloodDropped "turn_unauthenticated_dropped" "Unauthenticated requests, wrong passwords included, left unanswered because their source prefix sent too many.";
    LookupDropped "turn_dropped_lookup" "Requests dropped because too many wait for auth.hook; clients repeat them.";
    NotStun "turn_dropped_not_stun" "Datagrams that are neither STUN nor ChannelData.";
    MalformedStun "turn_dropped_malformed" "STUN messages that do not parse, or whose FINGERPRINT is wrong.";
    UnexpectedStun "turn_dropped_unexpected" "STUN responses, and methods or indications a server does not take.";
    PendingDropped "turn_dropped_pending" "Requests that came while the relayed address was still being bound.";
    ChannelDataMalformed "turn_dropped_channel_data_malformed" "ChannelData whose length field does not fit the datagram.";
    ChannelDataUnbound "turn_dropped_channel_data_unbound" "ChannelData on a channel that is not bound.";
    ChannelDataRelayed "turn_channel_data_relayed" "ChannelData relayed to a peer in userspace.";
    SendMalformed "turn_dropped_send_malformed" "Send indications without a valid peer or data.";
    SendNoAllocation "turn_dropped_send_no_allocation" "Send indications from a client without an allocation.";
    SendNoPermission "turn_dropped_send_no_permission" "Send indications to a peer without a permission.";
    SendForbidden "turn_dropped_send_forbidden" "Send indications to a peer that is denied.";
    SendRelayed "turn_send_relayed" "Send indications relayed to a peer.";
    PeerNoAllocation "turn_dropped_peer_no_allocation" "Datagrams of peers to a relayed address that is gone.";
    PeerNoPermission "turn_dropped_peer_no_permission" "Datagrams of peers without a permission.";
    PeerTooLarge "turn_dropped_peer_too_large" "Datagrams of peers that do not fit a UDP datagram once wrapped.";
    PeerToChannel "turn_peer_to_channel" "Datagrams of peers relayed as ChannelData in userspace.";
    PeerToIndication "turn_peer_to_indication" "Datagrams of peers relayed as Data indications.";
    IcmpRelayed "turn_icmp_relayed" "ICMP errors about data for peers, told to clients in Data indications.";
    IcmpNoPermission "turn_dropped_icmp_no_permission" "ICMP errors about peers without a permission.";
    IcmpOther "turn_dropped_icmp_other" "ICMP messages of kinds no client is told of.";
}

/// One worker's counts; they only grow.
#[derive(Debug, Clone)]
pub struct Counters {
    values: [u64; Counter::ALL.len()],
    refusals: BTreeMap<String, u64>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            values: [0; Counter::ALL.len()],
            refusals: BTreeMap::new(),
        }
    }
}

impl Counters {
    pub fn get(&self, counter: Counter) -> u64 {
        self.values[counter as usize]
    }

    pub fn iter(&self) -> impl Iterator<Item = (Counter, u64)> + '_ {
        Counter::ALL
            .iter()
            .map(|&counter| (counter, self.get(counter)))
    }

    /// Refused peers by the rule that refused them. Rules are built in or configured, so there are few.
    pub fn refusals(&self) -> impl Iterator<Item = (&str, u64)> + '_ {
        self.refusals
            .iter()
            .map(|(rule, count)| (rule.as_str(), *count))
    }

    pub(super) fn bump(&mut self, counter: Counter) {
        self.add(counter, 1);
    }

    pub(super) fn add(&mut self, counter: Counter, more: usize) {
        self.values[counter as usize] += more as u64;
    }

    pub(super) fn bump_refusal(&mut self, rule: String) {
        *self.refusals.entry(rule).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counter_names_are_unique_snake_case_and_described() {
        let mut seen = std::collections::HashSet::new();
        for counter in Counter::ALL {
            let name = counter.name();
            assert!(seen.insert(name), "{name} twice");
            assert!(name.starts_with("turn_"));
            assert!(
                name.bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            );
            assert!(counter.describe().ends_with('.'));
        }
    }
}
