//! Logins for a token: asked for at the relay's API, and again before they end. Whoever needs one takes the newest.

use std::time::Duration;

use tokio::sync::watch;

use super::jittered;
use super::telling::{Own, Teller};
use crate::cli::exit::{Exit, Failure};
use crate::client::ice::{Granted, IceApi, IceFault};
use crate::client::request::Login;
use crate::mode::Mode;

const PATIENCE: Duration = Duration::from_secs(10);
/// Of its life, after which a credential is replaced.
const FRESH: f64 = 0.75;
const SHORTEST: Duration = Duration::from_secs(1);
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The same for ever, or what was granted last.
#[derive(Debug, Clone)]
pub struct Logins(watch::Receiver<Login>);

impl Logins {
    pub fn fixed(login: Login) -> Self {
        Self(watch::channel(login).1)
    }

    pub fn now(&self) -> Login {
        self.0.borrow().clone()
    }
}

/// A token, where it is taken, and for which mode.
pub struct Renewal {
    api: IceApi,
    token: String,
    mode: Mode,
    ttl: Duration,
    logins: watch::Sender<Login>,
}

/// The first grant, which says where the servers are, and what keeps it fresh.
pub async fn begin(
    api: IceApi,
    token: &str,
    mode: Mode,
) -> Result<(Granted, Logins, Renewal), Failure> {
    let granted = api.ask(token, mode, PATIENCE).await.map_err(failure)?;
    let (logins, newest) = watch::channel(granted.login.clone());
    let renewal = Renewal {
        api,
        token: token.to_owned(),
        mode,
        ttl: granted.ttl,
        logins,
    };
    Ok((granted, Logins(newest), renewal))
}

impl Renewal {
    /// Until nobody wants one any more. A refusal may pass, as what holds a credential goes on without a newer one.
    pub async fn run(mut self, teller: Teller) -> Result<(), Failure> {
        let mut wait = FIRST_WAIT;
        let mut pause = self.ttl.mul_f64(FRESH).max(SHORTEST);
        loop {
            tokio::time::sleep(pause).await;
            match self.api.ask(&self.token, self.mode, PATIENCE).await {
                Ok(granted) => {
                    self.ttl = granted.ttl;
                    wait = FIRST_WAIT;
                    pause = self.ttl.mul_f64(FRESH).max(SHORTEST);
                    if self.logins.send(granted.login).is_err() {
                        return Ok(());
                    }
                    let ttl_ms = self.ttl.as_millis() as u64;
                    teller.say(Own::CredentialRenewed { ttl_ms })?;
                }
                Err(fault) => {
                    pause = jittered(wait);
                    wait = (2 * wait).min(LONGEST_WAIT);
                    teller.say(Own::CredentialRefused {
                        wait_ms: pause.as_millis() as u64,
                        reason: fault.to_string(),
                    })?;
                }
            }
        }
    }
}

/// There never was one.
pub fn failure(fault: IceFault) -> Failure {
    let (exit, advice) = match &fault {
        IceFault::Address(_) | IceFault::Token => (Exit::BadConfig, "check --server and --token"),
        IceFault::Unreachable(_) => (
            Exit::NotRunning,
            "let the firewall pass TCP to it, and check --server, --ca and --tls-name",
        ),
        IceFault::Refused { status, .. } => match status.as_u16() {
            401 | 403 => (Exit::NotAllowed, "get another token"),
            408 | 429 | 500..=599 => (Exit::NotRunning, "try again later"),
            404 => (
                Exit::BadConfig,
                "its operator must enable the API, or use --user",
            ),
            _ => (Exit::BadConfig, "ask its operator"),
        },
        IceFault::NotUnderstood(_) => (Exit::BadConfig, "check --server"),
    };
    Failure::of_a_stranger(exit, format!("{fault}: {advice}"))
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;

    use super::*;

    #[test]
    fn a_refusal_of_the_relay_is_told_from_no_way_to_it() {
        let refused = |status: u16| IceFault::Refused {
            status: StatusCode::from_u16(status).unwrap(),
            code: "of_a_kind".to_owned(),
            error: "the reason".to_owned(),
        };
        for (status, exit) in [
            (401, Exit::NotAllowed),
            (403, Exit::NotAllowed),
            (429, Exit::NotRunning),
            (503, Exit::NotRunning),
            (404, Exit::BadConfig),
            (409, Exit::BadConfig),
        ] {
            let failure = failure(refused(status));
            assert_eq!(failure.exit, exit, "{status}");
            let text = failure.text.unwrap();
            assert!(text.contains("the reason") && text.contains("of_a_kind"));
        }
    }
}
