//! Draining: nothing new begins, what runs goes on, until little enough is left or time is up. Ends nothing itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::workers::Workers;
use crate::admission::Admission;
use crate::api::{self, DrainPhase};
use crate::events::{Bus, Change, Event, Reason, What};
use crate::net::stats::Stat;

/// How often what is left is counted.
const LOOK: Duration = Duration::from_millis(100);

/// What the operator asked for.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    pub deadline: Duration,
    /// So much may be left: allocations and sessions of forwards.
    pub until: u64,
    /// The process was told to stop: not to be taken back.
    pub is_final: bool,
}

#[derive(Debug, Clone, Copy)]
struct State {
    phase: DrainPhase,
    order: Order,
    since: Instant,
    /// What was left when it was over: allocations, and sessions of forwards.
    at_the_end: Option<[u64; 2]>,
}

pub struct Drain {
    state: watch::Sender<Option<State>>,
    admission: Admission,
    workers: Arc<Workers>,
    events: Arc<Bus>,
}

/// Why a drain is not taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotCancelled {
    #[error("the relay does not drain: there is nothing to take back")]
    NotDraining,
    #[error("the relay was told to stop: it cannot be taken back")]
    Stopping,
}

impl Drain {
    pub fn new(admission: Admission, workers: Arc<Workers>, events: Arc<Bus>) -> Drain {
        Drain {
            state: watch::Sender::new(None),
            admission,
            workers,
            events,
        }
    }

    /// Begins, or changes deadline and goal of what began. A final order stays final, and is not put off.
    pub fn begin(&self, order: Order) {
        self.admission.close();
        self.state.send_modify(|state| {
            let now = Instant::now();
            let running = state.filter(|state| state.phase == DrainPhase::Draining);
            let Some(before) = running else {
                let phase = DrainPhase::Draining;
                let begun = State {
                    phase,
                    order,
                    since: now,
                    at_the_end: None,
                };
                *state = Some(begun);
                return self.tell(&begun, Change::Created, None);
            };
            let passed = now.saturating_duration_since(before.since);
            let mut deadline = passed + order.deadline;
            if before.order.is_final || order.is_final {
                deadline = deadline.min(before.order.deadline);
            }
            let changed = State {
                order: Order {
                    deadline,
                    is_final: before.order.is_final || order.is_final,
                    ..order
                },
                ..before
            };
            *state = Some(changed);
            self.tell(&changed, Change::Changed, None);
        });
    }

    pub fn cancel(&self) -> Result<(), NotCancelled> {
        let mut done = Err(NotCancelled::NotDraining);
        self.state.send_if_modified(|state| {
            let Some(running) = state else {
                return false;
            };
            match running {
                State { phase, .. } if *phase != DrainPhase::Draining => return false,
                State { order, .. } if order.is_final => {
                    done = Err(NotCancelled::Stopping);
                    return false;
                }
                _ => {}
            }
            running.phase = DrainPhase::Cancelled;
            self.admission.open();
            self.tell(running, Change::Ended, Some(Reason::Cancelled));
            done = Ok(());
            true
        });
        done
    }

    /// `None`: it never was asked for.
    pub fn view(&self) -> Option<api::Drain> {
        let state = (*self.state.borrow())?;
        Some(self.view_of(&state))
    }

    fn view_of(&self, state: &State) -> api::Drain {
        let passed = state.since.elapsed();
        let [allocations, forward_sessions] = state.at_the_end.unwrap_or_else(|| self.running());
        api::Drain {
            phase: state.phase,
            since_seconds: passed.as_secs(),
            deadline_in_seconds: state
                .order
                .deadline
                .saturating_sub(passed)
                .as_secs_f64()
                .ceil() as u64,
            until: state.order.until,
            allocations,
            forward_sessions,
        }
    }

    /// Waits until a drain is over, and says how.
    pub async fn over(&self) -> api::Drain {
        let mut changes = self.state.subscribe();
        loop {
            let draining = |state: &Option<State>| {
                state.is_some_and(|state| state.phase == DrainPhase::Draining)
            };
            // Nothing can end the sender while `self` is here.
            let _ = changes.wait_for(draining).await;
            if let Some(view) = self.view()
                && (view.left() <= view.until || view.deadline_in_seconds == 0)
                && self.finish(&view)
            {
                return view;
            }
            let _ = tokio::time::timeout(LOOK, changes.changed()).await;
        }
    }

    fn running(&self) -> [u64; 2] {
        [Stat::Allocations, Stat::ForwardSessions].map(|stat| self.workers.total(stat))
    }

    /// While `state` is held, or who sees a drain begin could tell its end first.
    fn tell(&self, state: &State, change: Change, reason: Option<Reason>) {
        let view = self.view_of(state);
        self.events.tell(Event {
            left: Some(view.left()),
            expires_in_seconds: Some(view.deadline_in_seconds),
            reason,
            ..Event::new(What::Drain, change)
        });
    }

    /// False: it was taken back meanwhile.
    fn finish(&self, view: &api::Drain) -> bool {
        self.state.send_if_modified(|state| match state {
            Some(running) if running.phase == DrainPhase::Draining => {
                running.phase = DrainPhase::Over;
                running.at_the_end = Some([view.allocations, view.forward_sessions]);
                self.tell(running, Change::Ended, None);
                true
            }
            _ => false,
        })
    }
}
