//! What one layer (file, environment or flags) says, key by key; nothing is filled in here. A higher layer's key hides a lower one's whole.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::accounts::SharedSecrets;
use super::fault::At;
use super::rates::UserRate;
use super::{Forward, Hook, Jwt, LogFormat, PublicApi, Signaling, User, XdpMode};
use crate::advertise::Advertised;
use crate::events::webhook::Webhook;
use crate::secret::Secret;
use crate::tls::CertificateFiles;
use crate::turn::Alternate;

type Key<T> = Option<At<T>>;
type Keys<T> = Option<Vec<At<T>>>;

macro_rules! layer {
    ($($field:ident: $kind:ty,)*) => {
        #[derive(Debug, Default)]
        pub struct Raw { $(pub $field: $kind,)* }

        impl Raw {
            /// This layer on top of `lower`.
            pub fn over(mut self, mut lower: Raw) -> Raw {
                // One statement about secrets hides all lower ones, however it is made.
                if self.secrets.is_some() || self.secret_file.is_some() {
                    lower.shared_secrets = None;
                    lower.secrets = None;
                    lower.secret_file = None;
                }
                $(self.$field = self.$field.or(lower.$field);)*
                self
            }
        }
    };
}

layer! {
    listen_udp: Keys<SocketAddr>,
    listen_tcp: Keys<SocketAddr>,
    listen_tls: Keys<SocketAddr>,
    proxy_protocol_from: Keys<IpNet>,
    certificates: Keys<CertificateFiles>,
    max_queue_bytes: Key<usize>,
    max_queue_age: Key<Duration>,
    setup_timeout: Key<Duration>,
    handshakes_per_second: Key<u32>,
    max_waiting: Key<usize>,
    max_waiting_per_prefix: Key<u32>,
    mobility: Key<bool>,
    behavior_discovery: Keys<SocketAddr>,
    relay_addresses: Keys<IpAddr>,
    advertise: Keys<Advertised>,
    relay_ports: Key<RangeInclusive<u16>>,
    interfaces: Keys<String>,
    xdp: Key<XdpMode>,
    max_sessions: Key<u32>,
    pin_directory: Key<PathBuf>,
    realm: Key<String>,
    secrets: Keys<Secret<String>>,
    secret_file: Key<PathBuf>,
    shared_secrets: Keys<SharedSecrets>,
    users: Keys<User>,
    strict_expiry: Key<bool>,
    hook: Key<Hook>,
    jwt: Key<Jwt>,
    peers_allow: Keys<IpNet>,
    peers_deny: Keys<IpNet>,
    allocations: Key<usize>,
    allocations_per_user: Key<usize>,
    permissions_per_allocation: Key<usize>,
    channels_per_allocation: Key<usize>,
    permissions_per_user: Key<usize>,
    channels_per_user: Key<usize>,
    permissions: Key<usize>,
    channels: Key<usize>,
    max_lifetime: Key<Duration>,
    unauthenticated_per_second: Key<u32>,
    session_bits: Key<u64>,
    session_packets: Key<u64>,
    user_bits: Key<u64>,
    user_packets: Key<u64>,
    burst: Key<Duration>,
    total_bits: Key<u64>,
    total_packets: Key<u64>,
    user_rates: Keys<UserRate>,
    shield_enabled: Key<bool>,
    strangers_per_prefix: Key<u32>,
    strangers_per_cpu: Key<u32>,
    junk_per_prefix: Key<u32>,
    junk_per_cpu: Key<u32>,
    closed_ports_per_cpu: Key<u32>,
    shield_client_address: Key<u32>,
    shield_session: Key<u32>,
    forwards: Keys<Forward>,
    admin_socket: Key<PathBuf>,
    metrics_listen: Key<Option<SocketAddr>>,
    metrics_public: Key<bool>,
    signaling: Key<Signaling>,
    api: Key<PublicApi>,
    alternates: Keys<Alternate>,
    drain_on_stop: Key<Duration>,
    webhooks: Keys<Webhook>,
    workers: Key<usize>,
    survive: Key<bool>,
    log_level: Key<String>,
    log_format: Key<LogFormat>,
}
