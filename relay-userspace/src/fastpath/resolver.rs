//! The background thread: listens to rtnetlink, looks routes up, keeps neighbours alive, waits grace periods out and
//! reconciles. Takes the mirror's lock for moments only, never while it waits.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::neighbour::{NeighbourFlags, NeighbourState};
use rtnetlink::{Handle, MulticastGroup};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use super::host::Host;
use super::memory::Memory;
use super::mirror::{Mirror, Sweep};
use super::netlink;
use super::next_hop::{HopKey, Route, RouteKey};
use super::shared;
use crate::net::route_groups::ROUTE_GROUPS;

/// Unresolved neighbours are asked for again this often.
const RESOLVE_AGAIN: Duration = Duration::from_secs(1);
/// Neighbours in use that went stale are asked for a sign of life this often; they would be after 30 s of silence.
const CONFIRM: Duration = Duration::from_secs(25);
/// Routes are looked up anew this often: the kernel learns a path's MTU without telling anyone.
const ASK_AGAIN: Duration = Duration::from_secs(60);
const RECONCILE: Duration = Duration::from_secs(10);
/// Route changes come in bursts.
const SETTLE: Duration = Duration::from_millis(20);
/// Longest time a packet can be on its way through the program, where the kernel cannot be asked.
const GRACE: Duration = Duration::from_secs(1);
/// Route lookups on their way at a time.
const LOOKUPS: usize = 32;

/// What the handle and the background thread share.
pub struct Core<M> {
    mirror: Mutex<Mirror<M>>,
    wake: Notify,
    stopped: AtomicBool,
}

impl<M: Memory + 'static> Core<M> {
    pub fn new(mirror: Mirror<M>) -> Arc<Self> {
        Arc::new(Self {
            mirror: Mutex::new(mirror),
            wake: Notify::new(),
            stopped: AtomicBool::new(false),
        })
    }

    /// Runs `change` under the lock and wakes the thread if it left work for it.
    pub fn with<T>(&self, change: impl FnOnce(&mut Mirror<M>) -> T) -> T {
        let mut mirror = self.lock();
        let result = change(&mut mirror);
        if std::mem::take(&mut mirror.needs_resolver) {
            self.wake.notify_one();
        }
        result
    }

    /// Starts the thread, in the network namespace of the caller.
    pub fn start(self: &Arc<Self>, host: impl Host) -> io::Result<JoinHandle<()>> {
        let core = Arc::clone(self);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::Builder::new()
            .name("relay-next-hops".to_owned())
            .spawn(move || runtime.block_on(core.run(host)))
    }

    /// Asks the thread to end.
    pub fn stop(&self) {
        self.stopped.store(true, SeqCst);
        self.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Mirror<M>> {
        self.mirror.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self: Arc<Self>, mut host: impl Host) {
        while !self.stopped.load(SeqCst) {
            if let Err(e) = self.follow(&mut host).await {
                tracing::warn!("rtnetlink: {e}; starting over");
                tokio::select! {
                    () = sleep(RESOLVE_AGAIN) => {}
                    () = self.wake.notified() => {}
                }
            }
        }
    }

    async fn follow(self: &Arc<Self>, host: &mut impl Host) -> Result<(), Fault> {
        let groups = [&ROUTE_GROUPS[..], &[MulticastGroup::Neigh]].concat();
        let (connection, handle, mut events) = rtnetlink::new_multicast_connection(&groups)?;
        tokio::spawn(connection);
        self.read_all(&handle).await?;
        self.look_at_cards(host).await;
        self.look_routes_up(&handle).await;
        self.resolve(&handle, Mirror::unresolved).await;

        let every = |period| {
            let mut ticks = interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let (mut again, mut confirm) = (every(RESOLVE_AGAIN), every(CONFIRM));
        let (mut reconcile, mut ask) = (every(RECONCILE), every(ASK_AGAIN));
        let mut doubt: Option<Instant> = None;
        let mut links_changed = false;
        loop {
            tokio::select! {
                () = self.wake.notified() => {
                    if self.stopped.load(SeqCst) {
                        return Ok(());
                    }
                    self.look_routes_up(&handle).await;
                    self.resolve(&handle, Mirror::unresolved).await;
                    self.settle();
                    self.recycle();
                }
                event = events.next() => {
                    let mut event = Some(event.ok_or(Fault::Closed)?);
                    // A burst is heard to its end before anything else is begun.
                    while let Some((message, _)) = event {
                        match self.hear(message) {
                            News::Nothing => {}
                            News::Routes => doubt = doubt.or(Some(Instant::now() + SETTLE)),
                            News::Links => {
                                links_changed = true;
                                doubt = doubt.or(Some(Instant::now() + SETTLE));
                            }
                            News::Lost => {
                                self.read_all(&handle).await?;
                                links_changed = true;
                                doubt = Some(Instant::now());
                            }
                        }
                        event = events.next().now_or_never().flatten();
                    }
                }
                () = sleep_until(doubt.unwrap_or_else(Instant::now)), if doubt.is_some() => {
                    doubt = None;
                    if std::mem::take(&mut links_changed) {
                        self.look_at_cards(host).await;
                    }
                    self.with(Mirror::doubt_routes);
                    self.look_routes_up(&handle).await;
                    self.resolve(&handle, Mirror::unresolved).await;
                }
                _ = again.tick() => {
                    self.resolve(&handle, Mirror::unresolved).await;
                    self.settle();
                    self.recycle();
                    if self.with(Mirror::take_room) {
                        self.sweep().await;
                    }
                }
                _ = ask.tick() => doubt = doubt.or(Some(Instant::now())),
                _ = confirm.tick() => self.resolve(&handle, Mirror::stale).await,
                _ = reconcile.tick() => {
                    if let Some(clock) = host.clock() {
                        self.with(|mirror| mirror.set_clock(clock));
                    }
                    self.sweep().await;
                }
            }
        }
    }

    async fn read_all(&self, handle: &Handle) -> Result<(), Fault> {
        let links: Vec<_> = handle.link().get().execute().try_collect().await?;
        let neighbours: Vec<_> = handle.neighbours().get().execute().try_collect().await?;
        let links = links.iter().filter_map(netlink::link).collect();
        let neighbours = neighbours
            .iter()
            .filter_map(netlink::neighbour)
            .filter_map(|(oif, ip, neighbour)| Some((oif, ip, neighbour?)))
            .collect();
        self.with(|mirror| {
            mirror.set_network(links, neighbours);
            mirror.doubt_routes();
        });
        Ok(())
    }

    /// Follows cards that went or came.
    async fn look_at_cards(&self, host: &mut impl Host) {
        if let Some(cards) = host.cards() {
            self.with(|mirror| mirror.set_cards(cards));
            self.sweep().await;
        }
    }

    fn hear(&self, message: NetlinkMessage<RouteNetlinkMessage>) -> News {
        let message = match message.payload {
            NetlinkPayload::InnerMessage(message) => message,
            NetlinkPayload::Overrun(_) => return News::Lost,
            _ => return News::Nothing,
        };
        match message {
            RouteNetlinkMessage::NewLink(message) => {
                if let Some((index, link)) = netlink::link(&message) {
                    self.with(|mirror| mirror.set_link(index, Some(link)));
                }
                News::Links
            }
            // A bridge that lets go of a port says so in its own family; the link stays.
            RouteNetlinkMessage::DelLink(message) if netlink::link(&message).is_some() => {
                self.with(|mirror| mirror.set_link(message.header.index, None));
                News::Links
            }
            RouteNetlinkMessage::NewNeighbour(message) => {
                if let Some((oif, ip, neighbour)) = netlink::neighbour(&message) {
                    self.with(|mirror| mirror.set_neighbour(oif, ip, neighbour));
                }
                News::Nothing
            }
            RouteNetlinkMessage::DelNeighbour(message) => {
                if let Some((oif, ip, _)) = netlink::neighbour(&message) {
                    self.with(|mirror| mirror.set_neighbour(oif, ip, None));
                }
                News::Nothing
            }
            RouteNetlinkMessage::NewRoute(_)
            | RouteNetlinkMessage::DelRoute(_)
            | RouteNetlinkMessage::NewRule(_)
            | RouteNetlinkMessage::DelRule(_)
            | RouteNetlinkMessage::NewAddress(_)
            | RouteNetlinkMessage::DelAddress(_) => News::Routes,
            _ => News::Nothing,
        }
    }

    async fn look_routes_up(&self, handle: &Handle) {
        let wanted = self.with(Mirror::take_wanted_routes);
        let locals: BTreeSet<IpAddr> = wanted.iter().map(|key| key.local).collect();
        let asked = stream::iter(locals).map(|local| is_ours(handle.clone(), local));
        let asked: Vec<_> = asked.buffer_unordered(LOOKUPS).collect().await;
        let gone = asked
            .into_iter()
            .filter_map(|(local, ours)| (!ours).then_some(local));
        let gone: BTreeSet<IpAddr> = gone.collect();
        let look_up = async |key: RouteKey| match gone.contains(&key.local) {
            true => (key, Route::NotOurs),
            false => look_up(handle.clone(), key).await,
        };
        stream::iter(wanted)
            .map(look_up)
            .buffer_unordered(LOOKUPS)
            .for_each(|(key, route)| {
                self.with(|mirror| mirror.set_route(key, route));
                std::future::ready(())
            })
            .await;
    }

    /// Has the kernel resolve or confirm neighbours, as if it had a packet for them.
    async fn resolve(&self, handle: &Handle, which: impl FnOnce(&Mirror<M>) -> Vec<HopKey>) {
        let hops = self.with(|mirror| which(mirror));
        for hop in hops {
            let request = handle
                .neighbours()
                .add(hop.oif, hop.neighbour)
                .state(NeighbourState::None)
                .flags(NeighbourFlags::Use)
                .replace();
            if let Err(e) = request.execute().await {
                // Then the first packet through userspace does it.
                tracing::debug!("resolve {} on interface {}: {e}", hop.neighbour, hop.oif);
            }
        }
    }

    fn settle(&self) {
        if let Some(ended) = self.with(Mirror::settle) {
            tracing::info!(
                ended,
                "adoption is over: sessions nobody claimed have ended"
            );
        }
    }

    /// In steps, so that workers who need the lock wait for none of it but the next.
    async fn sweep(&self) {
        let mut sweep = Sweep::at(Instant::now().into_std());
        while !self.with(|mirror| mirror.sweep(&mut sweep)) {
            tokio::task::yield_now().await;
        }
    }

    /// Makes freed slots and next hops usable once every packet that may have seen them is through.
    fn recycle(self: &Arc<Self>) {
        let Some(retired) = self.with(Mirror::take_retired) else {
            return;
        };
        let core = Arc::clone(self);
        tokio::spawn(async move {
            let waited = tokio::task::spawn_blocking(shared::wait_for_readers).await;
            if !waited.unwrap_or(false) {
                sleep(GRACE).await;
            }
            core.with(|mirror| mirror.release(retired));
        });
    }
}

enum News {
    Nothing,
    Routes,
    Links,
    /// Events were lost.
    Lost,
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("open: {0}")]
    Open(#[from] io::Error),
    #[error("{0}")]
    Request(#[from] rtnetlink::Error),
    #[error("the connection closed")]
    Closed,
}

/// Whether the host takes packets to `local`: the route to it is no proof for IPv6, of which the kernel does not ask
/// that a source address be its own.
async fn is_ours(handle: Handle, local: IpAddr) -> (IpAddr, bool) {
    let key = RouteKey {
        remote: local,
        local,
    };
    let (_, route) = look_up(handle, key).await;
    (local, route == Route::Local)
}

async fn look_up(handle: Handle, key: RouteKey) -> (RouteKey, Route) {
    let answer = handle
        .route()
        .get(netlink::route_request(key))
        .execute()
        .try_next()
        .await;
    let route = match answer {
        Ok(Some(message)) => netlink::route(key, &message),
        Ok(None) => Route::None("no answer".to_owned()),
        Err(rtnetlink::Error::NetlinkError(message)) => Route::None(message.to_io().to_string()),
        Err(e) => Route::None(e.to_string()),
    };
    (key, route)
}
