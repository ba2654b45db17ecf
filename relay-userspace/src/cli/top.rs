//! `relay top`: asks the running relay every second and shows its sessions until `q`. Changes nothing in the relay.

mod app;
mod draw;
mod screen;

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use self::app::{App, Then};
use self::screen::Screen;
use super::args::Global;
use super::client;
use super::exit::{Exit, Failure};
use crate::admin::client::{AskError, Client};
use crate::api::{Session, StatusReport};

const REFRESH: Duration = Duration::from_secs(1);

pub async fn top(global: &Global) -> Result<(), Failure> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(Failure::new(
            Exit::BadConfig,
            "top needs a terminal: run it in one (ssh -t), or use `relay session list --json`",
        ));
    }
    let client = client::client(global);
    let mut app = App::default();
    // Before the screen is taken: what is wrong from the start is told as by every other command.
    let (status, sessions) = ask(&client).await?;
    app.answered(Instant::now(), status, sessions);

    let mut ends = [
        SignalKind::terminate(),
        SignalKind::hangup(),
        SignalKind::interrupt(),
    ]
    .map(signal)
    .into_iter()
    .collect::<io::Result<Vec<_>>>()?;
    let mut screen = Screen::take()?;
    let mut due = tokio::time::interval(REFRESH);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let [terminate, hangup, interrupt] = &mut ends[..] else {
        return Ok(());
    };
    loop {
        screen.draw(|frame| draw::draw(frame, &mut app))?;
        tokio::select! {
            event = screen.next_event() => match event.map(|event| app.handle(&event)) {
                Some(Then::Stay) => {}
                Some(Then::Quit) | None => return Ok(()),
            },
            _ = due.tick() => match ask(&client).await {
                Ok((status, sessions)) => app.answered(Instant::now(), status, sessions),
                Err(error) => app.not_answered(error.to_string()),
            },
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        }
    }
}

async fn ask(client: &Client) -> Result<(StatusReport, Vec<Session>), AskError> {
    Ok((
        client.get("/v1/status").await?,
        client.get("/v1/sessions").await?,
    ))
}
