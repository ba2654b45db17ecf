//! `relay reload` and SIGHUP: certificates anew, and which other keys of the configuration wait for a restart.

use std::sync::Arc;

use toml_edit::DocumentMut;

use super::args::Global;
use super::flags::{self, ServeFlags};
use crate::api::Reloaded;
use crate::config::{Settings, show};
use crate::relay::Relay;

/// Of one running relay.
pub struct Reload {
    relay: Relay,
    global: Global,
    flags: ServeFlags,
    /// As the relay was started with it.
    began: DocumentMut,
}

impl Reload {
    pub fn new(relay: &Relay, global: &Global, flags: &ServeFlags, began: &Settings) -> Arc<Self> {
        Arc::new(Self {
            relay: relay.clone(),
            global: global.clone(),
            flags: flags.clone(),
            began: show::toml(began),
        })
    }

    /// All of it is good, or nothing changes and the fault says where and why.
    pub fn run(&self) -> Result<Reloaded, String> {
        let settings = flags::settings(&self.global, &self.flags);
        let settings = settings.map_err(|faults| faults.to_string())?;
        let files = &settings.config.tls.certificates;
        let certificates = match files.is_empty() {
            true => self.relay.reload_certificates(),
            false => self.relay.replace_certificates(files),
        };
        let certificates = certificates.map_err(|fault| fault.to_string())?;
        let mut needs_restart = changed(&self.began, &show::toml(&settings));
        needs_restart.retain(|key| key != "tls.certificate");
        tracing::info!(certificates, ?needs_restart, "reloaded");
        Ok(Reloaded {
            certificates,
            needs_restart,
        })
    }
}

/// Keys of two levels whose values differ.
fn changed(before: &DocumentMut, after: &DocumentMut) -> Vec<String> {
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
        let before = read("workers = 1\n[a]\nx = 1\ny = [1]\n[[f]]\nn = 1\n");
        let after = read("workers = 2\n[a]\nx = 1\ny = [2]\n[[f]]\nn = 2\n");
        assert_eq!(changed(&before, &after), ["workers", "a.y", "f"]);
        assert!(changed(&before, &before).is_empty());
    }
}
