//! The kernel's mirror of the sessions userspace wants relayed. A cache: nothing here decides what is allowed,
//! and nothing here is called per packet.

mod hairpin;
mod reconcile;

mod clock;
pub(crate) mod next_hop;

mod hop_table;
mod known;
mod memory;
mod ports;
pub mod seats;
mod shared;
mod table;

mod installer;
mod mirror;

mod doors;

pub(crate) mod netlink;
mod resolver;

mod attachment;
mod bpffs;
mod host;
mod inherit;
mod loader;
mod object;
pub mod pins;
mod shield;
mod view;

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use attachment::Attachment;
use loader::Loaded;
use mirror::Mirror;
use pins::Pins;
use resolver::Core;
use seats::Guess;
use shared::SharedMemory;

pub use object::bpf_object;
pub use view::{Gauges, LegTraffic, Placement};

use crate::api;
use crate::config;
use crate::police::{MeterClock, MeterTable};
use crate::tally::Reading;

/// Names a session for its whole life, in the API and in the kernel mirror.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// One end of a session: who sends, to which of our addresses, in which framing, until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leg {
    pub remote: SocketAddr,
    pub local: SocketAddr,
    /// ChannelData number; `None` is plain UDP.
    pub channel: Option<u16>,
    /// Packets that arrive on this leg after it are not relayed by the kernel.
    pub deadline: Instant,
}

/// A packet that matches one leg leaves by the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionSpec {
    /// The client's side.
    pub near: Leg,
    /// The peer's or destination's side.
    pub far: Leg,
}

/// Handle of the mirror. Clones are the same mirror.
#[derive(Clone)]
pub struct FastPath {
    inner: Arc<Inner>,
}

enum Inner {
    /// Every session stays in userspace, for this reason.
    Off(String),
    On(Kernel),
}

struct Kernel {
    core: Arc<Core<SharedMemory>>,
    meters: Arc<MeterTable>,
    guess: Guess,
    attachment: Arc<Mutex<Option<Attachment>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl FastPath {
    /// Loads and attaches what can be. Never fails: the last rung is userspace only, with the reason.
    ///
    /// With `pins` the sessions outlive this process, and those of an earlier one go on: until `restored` says that all
    /// of them were installed again.
    pub fn open(
        kernel: &config::Kernel,
        shield: &config::Shield,
        ports: &RangeInclusive<u16>,
        pins: Option<Pins>,
    ) -> (Self, Vec<api::Card>) {
        let without = |reason: String| {
            let card = |name: &String| api::Card {
                name: name.clone(),
                mode: "none".to_owned(),
                reason: Some(reason.clone()),
            };
            let cards = kernel.interfaces.iter().map(card).collect();
            (Self::off(reason.clone()), cards)
        };
        if kernel.xdp == config::XdpMode::Off {
            return without("turned off (--xdp off)".to_owned());
        }
        if kernel.interfaces.is_empty() {
            return without("no card is named (--interface)".to_owned());
        }
        let kept = pins.as_ref().and_then(|pins| inherit::tables(pins, kernel));
        let opened = Loaded::new(kernel.max_sessions, pins.as_ref(), kept).and_then(
            |(mut loaded, memory, key)| {
                let clock = loaded.clock()?;
                loaded.shield(shield::paces(shield, ports, clock.hz()))?;
                Ok((loaded, memory, key, clock))
            },
        );
        let (loaded, memory, key, clock) = match opened {
            Ok(opened) => opened,
            Err(fault) => {
                // All or nothing: an old program must not go on without this process.
                pins.as_ref().inspect(|pins| inherit::clear(pins));
                return without(fault.to_string());
            }
        };
        let (attachment, attached, cards) =
            Attachment::new(loaded, pins, &kernel.interfaces, kernel.xdp);
        if attached.numbers.is_empty() {
            attachment.unpin();
            let why = |card: &api::Card| {
                format!(
                    "{}: {}",
                    card.name,
                    card.reason.as_deref().unwrap_or("not attached")
                )
            };
            let whys: Vec<_> = cards.iter().map(why).collect();
            let off = Self::off(format!(
                "no card took the XDP program ({})",
                whys.join("; ")
            ));
            return (off, cards);
        }
        let meters = Arc::clone(&memory.meters);
        let guess = Guess::new(key, meters.slots());
        let mut mirror = Mirror::new(memory, key, clock, attached);
        if kept.is_some() {
            shared::wait_for_readers();
            let sessions = mirror.adopt();
            tracing::info!(sessions, "sessions of the last process go on in the kernel");
        }
        let core = Core::new(mirror);
        let attachment = Arc::new(Mutex::new(Some(attachment)));
        match core.start(Arc::downgrade(&attachment)) {
            Ok(thread) => {
                let kernel = Kernel {
                    core,
                    meters,
                    guess,
                    attachment,
                    thread: Mutex::new(Some(thread)),
                };
                (
                    Self {
                        inner: Arc::new(Inner::On(kernel)),
                    },
                    cards,
                )
            }
            Err(e) => without(format!("start the next-hop thread: {e}")),
        }
    }

    /// Every session of an earlier process that is to go on is installed again: the others end.
    pub fn restored(&self) {
        self.with(Mirror::close_adoption);
    }

    /// A mirror without a kernel: every session stays in userspace for `reason`.
    pub fn off(reason: impl Into<String>) -> Self {
        Self {
            inner: Arc::new(Inner::Off(reason.into())),
        }
    }

    /// Why no session can run in the kernel, when none can.
    pub fn why_off(&self) -> Option<String> {
        match &*self.inner {
            Inner::Off(reason) => Some(reason.clone()),
            Inner::On(kernel) if kernel.is_closed() => Some("closed".to_owned()),
            Inner::On(_) => None,
        }
    }

    /// The slot the kernel will guess for the session of `client` at `server` with this channel, 0 for
    /// none: the place for what is kept of them. `None`: nothing is kept in the kernel.
    pub fn guess(&self, client: SocketAddr, server: SocketAddr, channel: u16) -> Option<u32> {
        match &*self.inner {
            Inner::Off(_) => None,
            Inner::On(kernel) => {
                let (client, server) = (canonical(client), canonical(server));
                let leg = relay_common::Match::new(client, server, channel);
                Some(kernel.guess.of(&leg))
            }
        }
    }

    /// Wants `spec` relayed in the kernel, now or as soon as its next hops are known. Replaces what `id` was.
    /// `limits` is what [`Pass::meters`](crate::police::Pass::meters) says.
    pub fn install(&self, id: SessionId, spec: SessionSpec, limits: Option<[u32; 2]>) {
        let leg = |leg: Leg| Leg {
            remote: canonical(leg.remote),
            local: canonical(leg.local),
            ..leg
        };
        let spec = SessionSpec {
            near: leg(spec.near),
            far: leg(spec.far),
        };
        self.with(|mirror| mirror.install_within(id, spec, limits));
    }

    /// Moves the deadlines of a session, either way.
    pub fn extend(&self, id: SessionId, near_deadline: Instant, far_deadline: Instant) {
        self.with(|mirror| mirror.extend(id, near_deadline, far_deadline));
    }

    /// Larger packets to `remote` are userspace's for some minutes: an ICMP error said that they do not fit.
    pub fn narrow(&self, remote: IpAddr, mtu: u32) {
        self.with(|mirror| mirror.narrow(remote.to_canonical(), mtu));
    }

    /// What fits on the way to the peer of a session. Takes the mirror's lock: not for every packet.
    pub fn far_mtu(&self, id: SessionId) -> Option<u16> {
        self.with(|mirror| mirror.far_mtu(id)).flatten()
    }

    /// When it returns, the kernel matches no further packet of the session. `None`: not a session of the mirror.
    pub fn remove(&self, id: SessionId) -> Option<LegTraffic> {
        self.with(|mirror| mirror.remove(id)).flatten()
    }

    /// Where the session runs.
    pub fn session(&self, id: SessionId) -> Placement {
        match self.why_off() {
            None => self.with(|mirror| mirror.session(id)).unwrap_or_default(),
            reason => {
                let kept = self.with(|mirror| mirror.session(id).traffic);
                Placement {
                    in_kernel: false,
                    reason,
                    traffic: kept.unwrap_or_default(),
                }
            }
        }
    }

    /// How fast the kernel relays a session now, by the leg packets arrive on.
    pub fn observe(&self, id: SessionId, now: Instant) -> [Reading; 2] {
        self.with(|mirror| mirror.observe(id, now))
            .unwrap_or_default()
    }

    /// RTP of a session, by the leg it arrives on; `None` where it is not kept.
    pub fn streams(&self, id: SessionId) -> [Option<relay_common::Streams>; 2] {
        self.with(|mirror| mirror.streams(id)).unwrap_or_default()
    }

    /// Where limits are kept, and their clock; `None`: not in the kernel.
    pub fn meters(&self) -> Option<(Arc<MeterTable>, Arc<MeterClock>)> {
        match &*self.inner {
            Inner::Off(_) => None,
            Inner::On(kernel) => Some((
                Arc::clone(&kernel.meters),
                self.with(|mirror| Arc::clone(&mirror.meter_clock))?,
            )),
        }
    }

    /// A limit began or ended to be one: running sessions are told. In steps, as the mirror's lock is held for each.
    pub fn limits_changed(&self) {
        let mut sweep = mirror::Sweep::default();
        while self.with(|mirror| mirror.sweep(&mut sweep)) == Some(false) {}
    }

    /// Kernel verdicts by name, summed over CPUs.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        let values = match &*self.inner {
            Inner::Off(_) => None,
            Inner::On(kernel) => {
                let attachment = kernel.attachment();
                attachment
                    .as_ref()
                    .and_then(|attachment| attachment.loaded.counters())
            }
        };
        let value = |i: usize| values.as_ref().map_or(0, |values| values[i]);
        let all = relay_common::Counter::ALL.iter().enumerate();
        all.map(|(i, counter)| (counter.name(), value(i))).collect()
    }

    /// The cards as they are now; `None`: the kernel path is off.
    pub fn cards(&self) -> Option<Vec<api::Card>> {
        match &*self.inner {
            Inner::Off(_) => None,
            Inner::On(kernel) => kernel.attachment().as_ref().map(Attachment::views),
        }
    }

    /// State of the mirror as numbers.
    pub fn gauges(&self) -> Gauges {
        self.with(|mirror| mirror.gauges()).unwrap_or_default()
    }

    /// Removes the pins, detaches from the cards and ends the background thread. Every session is userspace's again.
    pub fn close(&self) {
        let Inner::On(kernel) = &*self.inner else {
            return;
        };
        kernel.close();
    }

    fn with<T>(&self, change: impl FnOnce(&mut Mirror<SharedMemory>) -> T) -> Option<T> {
        match &*self.inner {
            Inner::Off(_) => None,
            Inner::On(kernel) => Some(kernel.core.with(change)),
        }
    }
}

impl std::fmt::Debug for FastPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FastPath")
            .field("off", &self.why_off())
            .finish_non_exhaustive()
    }
}

impl Kernel {
    /// `None` once closed.
    fn attachment(&self) -> MutexGuard<'_, Option<Attachment>> {
        self.attachment
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closed(&self) -> bool {
        self.attachment().is_none()
    }

    fn close(&self) {
        let attachment = self.attachment().take();
        if let Some(attachment) = attachment {
            attachment.unpin();
        }
        self.core.stop();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the next-hop thread panicked");
        }
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        self.close();
    }
}

/// Dual-stack sockets report IPv4 addresses in IPv6 clothes.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests;
