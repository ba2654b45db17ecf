//! From those who tell to those who listen: events get their number and their time here, and go into each listener's
//! queue. Telling takes no longer than that.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;

use super::event::Event;
use super::filter::Filter;
use super::kind::Kind;
use super::queue::{Item, Queue};

/// Each has a queue, and whoever may open the admin socket may forget many.
const LISTENERS: usize = 64;

#[derive(Debug, Default)]
pub struct Bus {
    state: Mutex<State>,
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    told: u64,
    listeners: Vec<Weak<Listener>>,
    closed: bool,
}

#[derive(Debug)]
struct Listener {
    filter: Mutex<Filter>,
    queue: Mutex<Queue<Arc<Event>>>,
    news: Notify,
    closed: std::sync::atomic::AtomicBool,
}

/// What one listener hears, from its subscription on.
#[derive(Debug)]
pub struct Subscription {
    listener: Arc<Listener>,
    /// The number of the last event before it.
    pub after: u64,
}

/// What a listener is to hear, for whoever employs it.
#[derive(Debug)]
pub struct Feed(Weak<Listener>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{LISTENERS} listeners are as many as there may be: end one")]
pub struct TooMany;

/// For metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gauges {
    pub told: u64,
    /// Once a listener that it did not fit.
    pub lost: u64,
    pub listeners: u64,
}

impl Bus {
    pub fn tell(&self, mut event: Event) {
        let mut state = lock(&self.state);
        state.told += 1;
        if state.listeners.is_empty() {
            return;
        }
        event.sequence = Some(state.told);
        event.time_ms = time_ms();
        let event = Arc::new(event);
        state.listeners.retain(|listener| {
            let Some(listener) = listener.upgrade() else {
                return false;
            };
            if listener.closed.load(Relaxed) {
                return false;
            }
            if lock(&listener.filter).wants(&event) {
                if !lock(&listener.queue).push(Arc::clone(&event)) {
                    self.lost.fetch_add(1, Relaxed);
                }
                listener.news.notify_one();
            }
            true
        });
    }

    /// At most `room` events wait for it.
    pub fn subscribe(&self, filter: Filter, room: usize) -> Result<Subscription, TooMany> {
        let mut state = lock(&self.state);
        state.listeners.retain(|one| one.strong_count() > 0);
        if state.listeners.len() >= LISTENERS {
            return Err(TooMany);
        }
        let listener = Arc::new(Listener {
            filter: Mutex::new(filter),
            queue: Mutex::new(Queue::new(room)),
            news: Notify::new(),
            closed: state.closed.into(),
        });
        state.listeners.push(Arc::downgrade(&listener));
        Ok(Subscription {
            listener,
            after: state.told,
        })
    }

    /// Nothing more happens: listeners hear what waits for them, then the end.
    pub fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        for listener in state.listeners.iter().filter_map(Weak::upgrade) {
            listener.close();
        }
    }

    pub fn gauges(&self) -> Gauges {
        let state = lock(&self.state);
        let listeners = state.listeners.iter();
        Gauges {
            told: state.told,
            lost: self.lost.load(Relaxed),
            listeners: listeners.filter(|one| one.strong_count() > 0).count() as u64,
        }
    }
}

impl Listener {
    fn close(&self) {
        self.closed.store(true, Relaxed);
        self.news.notify_one();
    }
}

impl Feed {
    /// From the next event on.
    pub fn listen_for(&self, filter: Filter) {
        if let Some(listener) = self.0.upgrade() {
            *lock(&listener.filter) = filter;
        }
    }

    /// Nothing more: the listener hears what waits for it, then the end.
    pub fn close(&self) {
        if let Some(listener) = self.0.upgrade() {
            listener.close();
        }
    }
}

impl Subscription {
    pub fn feed(&self) -> Feed {
        Feed(Arc::downgrade(&self.listener))
    }

    /// `None`: nothing more will happen.
    pub async fn next(&mut self) -> Option<Arc<Event>> {
        loop {
            if let Some(event) = self.next_now() {
                return Some(event);
            }
            if self.listener.closed.load(Relaxed) {
                // Told before it was closed, heard after that.
                return self.next_now();
            }
            self.listener.news.notified().await;
        }
    }

    /// `None`: nothing waits.
    pub fn next_now(&mut self) -> Option<Arc<Event>> {
        match lock(&self.listener.queue).pop()? {
            Item::Is(event) => Some(event),
            Item::Lost(lost) => Some(Arc::new(Event {
                time_ms: time_ms(),
                lost: Some(lost),
                ..Event::of(Kind::Lost)
            })),
        }
    }

    /// As many did not reach who listens, for another reason than a full queue.
    pub fn lose(&self, count: u64) {
        lock(&self.listener.queue).lose(count);
    }

    /// The first word of a stream.
    pub fn greeting(&self) -> Event {
        Event {
            sequence: Some(self.after),
            time_ms: time_ms(),
            ..Event::of(Kind::Subscribed)
        }
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn time_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Change, What};

    fn happen(bus: &Bus, times: u64) {
        (0..times).for_each(|_| bus.tell(Event::new(What::Channel, Change::Created)));
    }

    #[tokio::test]
    async fn a_listener_hears_every_event_after_it_came_in_order_and_then_the_end() {
        let bus = Bus::default();
        happen(&bus, 2);
        let mut listener = bus.subscribe(Filter::default(), 10).unwrap();
        assert_eq!((listener.after, listener.greeting().sequence), (2, Some(2)));
        happen(&bus, 3);
        bus.close();
        for sequence in 3..=5 {
            assert_eq!(listener.next().await.unwrap().sequence, Some(sequence));
        }
        assert_eq!(listener.next().await, None);
        let gauges = bus.gauges();
        assert_eq!((gauges.told, gauges.lost, gauges.listeners), (5, 0, 1));
    }

    #[tokio::test]
    async fn one_that_never_listens_costs_its_queue_and_nobody_else_anything() {
        let bus = Bus::default();
        let mut deaf = bus.subscribe(Filter::default(), 4).unwrap();
        let mut awake = bus.subscribe(Filter::default(), 1000).unwrap();
        happen(&bus, 1000);
        for sequence in 1..=1000 {
            assert_eq!(awake.next().await.unwrap().sequence, Some(sequence));
        }
        assert_eq!(bus.gauges().lost, 996);
        let mut heard = Vec::new();
        while let Some(event) = deaf.next_now() {
            heard.push((event.sequence, event.lost));
        }
        let (last, whole) = heard.split_last().unwrap();
        assert_eq!(whole.len(), 4);
        assert_eq!(*last, (None, Some(996)));
    }

    #[tokio::test]
    async fn a_listener_hears_what_its_feed_says_and_nothing_once_that_is_closed() {
        let bus = Bus::default();
        let mut listener = bus.subscribe(Filter::default(), 10).unwrap();
        let feed = listener.feed();
        happen(&bus, 1);
        let of = crate::events::filter::Pattern::parse("allocation");
        feed.listen_for(Filter {
            of: of.into_iter().collect(),
            user: None,
        });
        happen(&bus, 1);
        bus.tell(Event::new(What::Allocation, Change::Created));
        feed.close();
        bus.tell(Event::new(What::Allocation, Change::Ended));
        for sequence in [1, 3] {
            assert_eq!(listener.next().await.unwrap().sequence, Some(sequence));
        }
        assert_eq!(listener.next().await, None);
        assert_eq!(bus.gauges().listeners, 0, "its place is free");
    }

    #[test]
    fn places_of_listeners_that_left_are_free_again() {
        let bus = Bus::default();
        let subscribe = || bus.subscribe(Filter::default(), 1);
        let all: Vec<_> = (0..LISTENERS).map(|_| subscribe().unwrap()).collect();
        assert_eq!(subscribe().unwrap_err(), TooMany);
        drop(all);
        assert!(subscribe().is_ok());
    }
}
