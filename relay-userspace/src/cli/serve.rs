//! `relay serve`: configuration, admin socket, relay, metrics, readiness, and a clean end. Relays nothing itself.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::args::Global;
use super::detach;
use super::ending::{End, Signals};
use super::exit::{Exit, Failure};
use super::flags::{self, ServeFlags};
use super::hints;
use super::reload::Reload;
use super::state::{self, Generated};
use super::{logging, output};
use crate::admin::{self, Office};
use crate::credentials::Credentials;
use crate::events::Reason;
use crate::metrics::{self, Readiness};
use crate::relay::{ForwardError, Relay, StartError};

/// For answers on their way when the relay ends.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

pub async fn serve(global: &Global, flags: &ServeFlags) -> Result<(), Failure> {
    let settings = flags::settings(global, flags)?;
    logging::start(&settings.log);
    let mut config = settings.config.clone();
    let generated = state::ensure_secret(&mut config.auth).map_err(system)?;
    let mut warnings: Vec<_> = settings.warnings.iter().map(ToString::to_string).collect();
    if let Generated::InMemory(why) = &generated {
        warnings.push(format!("the generated secret is not kept: {why}"));
    }

    let own_certificate = match state::ensure_certificate(&mut config) {
        Ok(path) => path,
        Err(why) => {
            warnings.push(format!("the self-signed certificate is not kept: {why}"));
            None
        }
    };

    // Before any port is bound: sharing ports with a live relay would take its packets away.
    let (admin_listener, socket) = admin::socket::bind(&config.admin.socket).map_err(system)?;
    let mut signals = Signals::new().map_err(system)?;
    let credentials = Credentials::new(&config.auth);
    if flags.fresh {
        detach::remove_all(&config)?;
    }
    let metrics_wanted = config.metrics.listen;
    let survives = config.survive;
    let relay = Relay::start(config.clone()).await.map_err(not_started)?;

    let readiness = Readiness::of(relay.admission());
    let mut tasks = Tasks(Vec::new());
    let metrics = match metrics_wanted {
        Some(address) => {
            tasks
                .metrics(address, &relay, &readiness, &mut warnings)
                .await
        }
        None => None,
    };
    let reload = Reload::new(&relay, global, flags, &settings, &config);
    let asked = Arc::clone(&reload);
    let office = Office {
        reload: Box::new(move || {
            let asked = Arc::clone(&asked);
            Box::pin(async move { asked.run().await })
        }),
        relay: relay.clone(),
        admin_socket: socket.path().display().to_string(),
        metrics,
        warnings: warnings.clone(),
    };
    let (closing, closed) = oneshot::channel::<()>();
    let answering = tokio::spawn(async move {
        let serving = axum::serve(admin_listener, admin::router(office));
        let closed = async move { drop(closed.await) };
        if let Err(error) = serving.with_graceful_shutdown(closed).await {
            tracing::error!(%error, "the admin socket ended");
        }
    });

    tasks.0.push(tokio::spawn(Arc::clone(&reload).watch()));

    let status = relay.status();
    let started = hints::Started {
        status: &status,
        forwards: &relay.forwards().await,
        metrics,
        generated: &generated,
        own_certificate: own_certificate.as_deref(),
        credentials: &credentials,
        unix_now: admin::unix_now(),
    };
    // Nobody may be reading; the relay runs all the same.
    let _ = io::stderr().write_all(hints::human(&started).as_bytes());
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    let _ = output::line(&hints::ready_line(&status, socket.path()));
    notify(NotifyState::Ready);

    let stopping = || {
        notify(NotifyState::Stopping);
        readiness.stopping();
    };
    let end = signals.wait_for_end(&relay, &reload, stopping).await;
    stopping();
    let why = match end {
        End::Leave if survives => {
            tracing::info!("leaving: sessions wait for the next relay");
            relay.leave().await;
            return Ok(());
        }
        End::Drained { left } => {
            tracing::info!(left, "drained");
            Reason::Drained
        }
        End::Stop | End::Leave => {
            tracing::info!("stopping");
            Reason::Stopped
        }
    };
    tokio::select! {
        () = relay.end(why) => {}
        () = signals.wait_for_impatience() => return Err(Failure::new(Exit::Failed, "stopped at once by a second signal: sessions were not ended cleanly")),
    }
    // Whoever follows a drain is told its end.
    drop(closing);
    let _ = tokio::time::timeout(LAST_ANSWERS, answering).await;
    Ok(())
}

fn system(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::System, error)
}

/// A forbidden destination stays forbidden: a service manager must not try again.
fn not_started(error: StartError) -> Failure {
    let exit = match &error {
        StartError::Forward {
            source: ForwardError::Denied { .. },
            ..
        } => Exit::BadConfig,
        _ => Exit::System,
    };
    Failure::new(exit, error)
}

fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

/// Ended when dropped.
struct Tasks(Vec<JoinHandle<()>>);

impl Tasks {
    async fn metrics(
        &mut self,
        address: SocketAddr,
        relay: &Relay,
        readiness: &Readiness,
        warnings: &mut Vec<String>,
    ) -> Option<SocketAddr> {
        let listener = match metrics::bind(address).await {
            Ok(listener) => listener,
            Err(warning) => {
                warnings.push(warning);
                return None;
            }
        };
        let bound = listener.local_addr().ok();
        let router = metrics::router(relay.clone(), readiness.clone());
        self.0.push(tokio::spawn(metrics::serve(listener, router)));
        bound
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}
