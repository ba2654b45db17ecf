//! `relay reload`, SIGHUP and changed files: what of the configuration can change while the relay runs, and which other keys
//! of it wait for a restart.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use toml_edit::DocumentMut;

use super::args::Global;
use super::flags::{self, ServeFlags};
use super::state;
use crate::api::Reloaded;
use crate::config::{Auth, Config, Settings, show};
use crate::file_mark::FileMark;
use crate::relay::Relay;
use crate::secret::Secret;

/// As with certificates (`tls/watch.rs`).
const EVERY: Duration = Duration::from_secs(5);

/// Keys that take effect without a restart, and what begins with them.
const LIVE: [&str; 14] = [
    "tls.certificate",
    "auth.secrets",
    "auth.shared",
    "auth.users",
    "auth.hook",
    "auth.jwt",
    "auth.strict_expiry",
    "rates.",
    "signaling.",
    "api.",
    "events.",
    "drain.",
    "turn.mobility",
    "turn.alternate_servers",
];
/// So do limits.
const LIMITS: &str = "limits.";
/// Not these: their tables are made at the start.
const FIXED: [&str; 3] = [
    "limits.unauthenticated_per_second",
    "signaling.max_connections",
    "signaling.max_connections_per_prefix",
];

/// Of one running relay.
pub struct Reload {
    relay: Relay,
    global: Global,
    flags: ServeFlags,
    /// As the relay was started with it.
    began: DocumentMut,
    /// The secret the relay made for itself.
    generated: Option<Secret<String>>,
    grace: watch::Sender<Duration>,
    in_use: Mutex<InUse>,
}

struct InUse {
    shown: DocumentMut,
    config: Config,
    files: Vec<PathBuf>,
}

impl Reload {
    /// `config`: with what the relay added by itself.
    pub fn new(
        relay: &Relay,
        global: &Global,
        flags: &ServeFlags,
        began: &Settings,
        config: &Config,
    ) -> Arc<Self> {
        let shown = show::toml(began);
        let nobody = began.config.auth.is_empty();
        let generated = config.auth.secrets.first().filter(|_| nobody).cloned();
        Arc::new(Self {
            relay: relay.clone(),
            global: global.clone(),
            flags: flags.clone(),
            began: shown.clone(),
            generated,
            grace: watch::Sender::new(config.drain.on_stop),
            in_use: Mutex::new(InUse {
                shown,
                config: config.clone(),
                files: began.files.clone(),
            }),
        })
    }

    /// How long SIGTERM lets sessions run out. Never waits for a reload that is under way.
    pub fn grace(&self) -> Duration {
        *self.grace.borrow()
    }

    /// All of it is good, or nothing changes and the fault says where and why.
    pub async fn run(&self) -> Result<Reloaded, String> {
        let mut in_use = self.in_use.lock().await;
        let settings = flags::settings(&self.global, &self.flags);
        let settings = settings.map_err(|faults| faults.to_string())?;
        let shown = show::toml(&settings);
        let Settings {
            mut config,
            files: read,
            ..
        } = settings;
        self.ensure_secret(&mut config.auth)?;
        let hook = self.relay.prepare_hook(&config.auth);
        let hook = hook.map_err(|fault| fault.to_string())?;
        let web = self.relay.prepare_web(&config);
        let web = web.map_err(|fault| format!("signaling: {fault}"))?;
        let webhooks = self.relay.prepare_webhooks(&config).await;
        let webhooks = webhooks.map_err(|fault| format!("events.webhooks: {fault}"))?;
        let files = &config.tls.certificates;
        let certificates = match files.is_empty() {
            true => self.relay.reload_certificates(),
            false => self.relay.replace_certificates(files),
        };
        let certificates = certificates.map_err(|fault| fault.to_string())?;
        self.relay.adopt_web(web);
        self.relay.adopt_webhooks(webhooks).await;
        self.grace.send_replace(config.drain.on_stop);
        let mut applied = changed(&in_use.shown, &shown);
        applied.extend(hidden_changes(&in_use.config, &config));
        applied.retain(|key| is_live(key));
        applied.sort();
        applied.dedup();
        let before = &in_use.config;
        if (&config.auth, &config.limits, &config.turn)
            != (&before.auth, &before.limits, &before.turn)
        {
            self.relay.adopt(&config, hook).await;
        }
        // What an operator set meanwhile stays, unless the file says something new.
        if config.rates != in_use.config.rates {
            self.relay.adopt_rates(config.rates.clone());
        }
        let mut needs_restart = changed(&self.began, &shown);
        needs_restart.retain(|key| !is_live(key));
        tracing::info!(certificates, ?applied, ?needs_restart, "reloaded");
        *in_use = InUse {
            shown,
            config,
            files: read,
        };
        Ok(Reloaded {
            certificates,
            applied,
            needs_restart,
        })
    }

    /// Runs whenever the configuration or a file of secrets changed. Never ends.
    pub async fn watch(self: Arc<Self>) {
        let mut seen = self.marks().await;
        loop {
            tokio::time::sleep(EVERY).await;
            let now = self.marks().await;
            if now == seen {
                continue;
            }
            seen = now;
            if let Err(fault) = self.run().await {
                tracing::warn!("the configuration changed, the old one stays in use: {fault}");
            }
        }
    }

    async fn marks(&self) -> Vec<FileMark> {
        let in_use = self.in_use.lock().await;
        in_use.files.iter().map(|path| FileMark::of(path)).collect()
    }

    /// Nobody is to be locked out by a file without accounts: then the relay's own secret is in use, as at the start.
    fn ensure_secret(&self, auth: &mut Auth) -> Result<(), String> {
        match &self.generated {
            Some(secret) if auth.is_empty() => auth.secrets.push(secret.clone()),
            _ => drop(state::ensure_secret(auth).map_err(|error| error.to_string())?),
        }
        Ok(())
    }
}

fn is_live(key: &str) -> bool {
    !FIXED.contains(&key)
        && (LIVE.iter().any(|live| key.starts_with(live)) || key.starts_with(LIMITS))
}

/// Changes of what is never shown.
fn hidden_changes(before: &Config, after: &Config) -> Vec<String> {
    let keys = before.api.keys != after.api.keys;
    let webhooks = before.events != after.events;
    let (before, after) = (&before.auth, &after.auth);
    [
        ("api.keys", keys),
        ("events.webhooks", webhooks),
        ("auth.secrets", before.secrets != after.secrets),
        ("auth.shared", before.shared != after.shared),
        ("auth.jwt", before.jwt != after.jwt),
        ("auth.hook", before.hook != after.hook),
        ("auth.users", before.users != after.users),
    ]
    .into_iter()
    .filter(|(_, changed)| *changed)
    .map(|(key, _)| key.to_owned())
    .collect()
}

/// Keys of two levels whose values differ, or that are there in one only.
fn changed(before: &DocumentMut, after: &DocumentMut) -> Vec<String> {
    let mut keys = differing(before, after);
    keys.extend(differing(after, before));
    let mut seen = std::collections::HashSet::new();
    keys.retain(|key| seen.insert(key.clone()));
    keys
}

fn differing(before: &DocumentMut, after: &DocumentMut) -> Vec<String> {
    let mut keys = Vec::new();
    for (name, item) in after.iter() {
        let old = before.get(name);
        let Some(table) = item.as_table() else {
            if old.map(ToString::to_string) != Some(item.to_string()) {
                keys.push(name.to_owned());
            }
            continue;
        };
        for (key, value) in table.iter() {
            let old = old.and_then(|old| old.get(key));
            if old.map(ToString::to_string) != Some(value.to_string()) {
                keys.push(format!("{name}.{key}"));
            }
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_differ_are_named_with_their_section() {
        let read = |text: &str| text.parse::<DocumentMut>().unwrap();
        let before = read("workers = 1\n[a]\nx = 1\ny = [1]\nz = 1\n[[f]]\nn = 1\n");
        let after = read("workers = 2\n[a]\nx = 1\ny = [2]\n[[f]]\nn = 2\n");
        assert_eq!(changed(&before, &after), ["workers", "a.y", "f", "a.z"]);
        assert!(changed(&before, &before).is_empty());
    }

    #[test]
    fn every_limit_takes_effect_at_once_but_those_whose_tables_are_made_at_the_start() {
        assert!(is_live("limits.allocations") && is_live("rates.total_bits"));
        assert!(
            !FIXED.into_iter().any(is_live) && !is_live("auth.realm") && !is_live("listen.udp")
        );
        assert!(is_live("drain.on_stop") && !is_live("turn.behavior_discovery"));
    }
}
