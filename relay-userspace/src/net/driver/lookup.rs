//! Questions about users nobody here knows: asked beside everything else, answered into the state machine.

use std::rc::Rc;

use super::Driver;
use crate::net::worker::Context;
use crate::turn::{FiveTuple, prefix};

impl Driver {
    /// Goes on with `request` when the answer is there.
    pub(super) fn look_up(
        &self,
        context: &Context<'_>,
        name: String,
        from: FiveTuple,
        request: Vec<u8>,
    ) {
        let (worker, hook) = (Rc::clone(context.worker), context.shared.hook());
        tokio::task::spawn_local(async move {
            if let Some(hook) = hook {
                hook.ask(&name, prefix(from.client.ip())).await;
            }
            worker.guard(|| {
                worker.with_driver(|driver, context| driver.looked_up(context, from, &request));
            });
        });
    }

    fn looked_up(&mut self, context: &mut Context<'_>, from: FiveTuple, request: &[u8]) {
        self.server.looked_up(context.now, from, request);
        self.carry_out(context);
    }
}
