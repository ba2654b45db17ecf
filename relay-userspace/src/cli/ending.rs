//! What ends `relay serve`: a signal, or a drain that is over. Ends nothing itself.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::reload::Reload;
use crate::relay::{DrainOrder, Relay};

/// How the relay is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Every session that is left ends because the operator stops the relay.
    Stop,
    /// As many may end because a drain is over.
    Drained { left: u64 },
    /// SIGUSR2: another process goes on.
    Leave,
}

pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    leave: Signal,
    hangup: Signal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// SIGTERM: by a service manager, which waits.
    Terminate,
    /// SIGINT: by somebody at a terminal, who does not.
    Interrupt,
    Leave,
}

impl Signals {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            leave: signal(SignalKind::user_defined2())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// SIGTERM drains for `drain.on_stop` first, and calls `stopping` at once; a second signal waits no longer.
    pub async fn wait_for_end(
        &mut self,
        relay: &Relay,
        reload: &Reload,
        stopping: impl Fn(),
    ) -> End {
        let mut is_final = false;
        loop {
            let asked = tokio::select! {
                asked = self.asked(reload) => asked,
                over = relay.drained() => {
                    return match is_final {
                        true => End::Stop,
                        false => End::Drained { left: over.left() },
                    };
                }
            };
            let grace = reload.grace();
            match asked {
                Asked::Leave => return End::Leave,
                Asked::Terminate if !is_final && !grace.is_zero() => {
                    is_final = true;
                    stopping();
                    let drain = relay.drain(DrainOrder {
                        deadline: grace,
                        until: 0,
                        is_final,
                    });
                    let left = drain.map_or(0, |drain| drain.left());
                    tracing::info!(
                        left,
                        ?grace,
                        "stopping: sessions may run out; a second signal ends them"
                    );
                }
                Asked::Terminate | Asked::Interrupt => return End::Stop,
            }
        }
    }

    /// SIGTERM or SIGINT: whoever waits for an end has waited long enough.
    pub async fn wait_for_impatience(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    async fn asked(&mut self, reload: &Reload) -> Asked {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Asked::Terminate,
                _ = self.interrupt.recv() => return Asked::Interrupt,
                _ = self.leave.recv() => return Asked::Leave,
                _ = self.hangup.recv() => {
                    if let Err(fault) = reload.run().await {
                        tracing::error!("SIGHUP: nothing is reloaded: {fault}");
                    }
                }
            }
        }
    }
}
