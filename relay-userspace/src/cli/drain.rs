//! `relay drain`: asks for it, then shows what is left until the relay has ended or somebody took it back.

use std::time::Duration;

use super::args::{Drain, Global};
use super::client::client;
use super::exit::{Exit, Failure};
use super::output;
use crate::admin::client::AskError;
use crate::api::{self, DrainPhase, DrainRequest};
use crate::config::value::duration_text;

pub async fn drain(global: &Global, wish: Drain) -> Result<(), Failure> {
    let client = client(global);
    if wish.cancel {
        client.remove("/v1/drain").await?;
        return output::line("the relay takes new sessions again");
    }
    let request = DrainRequest {
        // Part of a second is one: a deadline of none would end everything.
        deadline_seconds: wish.deadline.as_secs_f64().ceil() as u64,
        until: wish.until,
    };
    let begun: api::Drain = client.post("/v1/drain", &request).await?;
    let mut progress = match client.lines("/v1/drain/progress").await {
        Ok(progress) => progress,
        // With nothing left it may have ended already, or end before it hears the question.
        Err(AskError::NotRunning { .. } | AskError::Broken(_)) if begun.left() <= begun.until => {
            let over = api::Drain {
                phase: DrainPhase::Over,
                ..begun
            };
            return show(&over, wish.read.json);
        }
        Err(error) => return Err(error.into()),
    };
    let mut last = begun;
    while let Some(view) = progress.next::<api::Drain>().await? {
        show(&view, wish.read.json)?;
        last = view;
    }
    match last.phase {
        DrainPhase::Over => Ok(()),
        DrainPhase::Cancelled => Err(Failure::new(Exit::Failed, "the drain was taken back")),
        DrainPhase::Draining => Err(Failure::new(
            Exit::Failed,
            "the relay ended before the drain was over: see its log",
        )),
    }
}

fn show(view: &api::Drain, as_json: bool) -> Result<(), Failure> {
    match as_json {
        true => output::json(view),
        false => output::line(&describe(view)),
    }
}

fn describe(view: &api::Drain) -> String {
    let what = format!(
        "{} allocations, {} sessions of forwards",
        view.allocations, view.forward_sessions
    );
    match view.phase {
        DrainPhase::Draining => {
            let left = Duration::from_secs(view.deadline_in_seconds);
            let goal = match view.until {
                0 => String::new(),
                until => format!(", down to {until}"),
            };
            format!(
                "draining: {what} left{goal}, at most {} more",
                duration_text(left)
            )
        }
        DrainPhase::Over if view.left() > 0 => format!("over: the relay ends, and with it {what}"),
        DrainPhase::Over => "over: nothing is left, the relay ends".to_owned(),
        DrainPhase::Cancelled => format!("taken back with {what}"),
    }
}
