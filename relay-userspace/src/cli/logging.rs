//! Logs go to stderr; `RUST_LOG` beats everything, as in every Rust program.

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// A second call in one process changes nothing.
pub fn start(log: &Log) {
    let said = std::env::var(EnvFilter::DEFAULT_ENV).ok();
    let filter = filter(said.as_deref(), &log.level);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let _ = match log.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => {
            let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
            builder.with_ansi(colours).try_init()
        }
    };
}

/// The codec warns about every malformed packet, and h2 about every connection that resets its streams: strangers could
/// fill the log. Who wants them names the library: what is said later wins.
const QUIET: &str = "stun_types=off,turn_types=off,h2=off";

fn filter(said: Option<&str>, level: &str) -> EnvFilter {
    let wanted = said.filter(|said| !said.is_empty());
    let parse = |wanted: &str| EnvFilter::try_new(format!("{QUIET},{wanted}")).ok();
    wanted
        .and_then(parse)
        .unwrap_or_else(|| EnvFilter::new(format!("{QUIET},{level}")))
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// What is logged of what strangers send, and of a forward.
    fn logged(said: Option<&str>, level: &str) -> (bool, bool) {
        let subscriber = tracing_subscriber::registry().with(filter(said, level));
        tracing::subscriber::with_default(subscriber, || {
            (
                tracing::enabled!(target: "stun_types::message", tracing::Level::WARN)
                    || tracing::enabled!(target: "h2::proto::streams::recv", tracing::Level::WARN),
                tracing::enabled!(target: "relay_userspace::admin", tracing::Level::INFO),
            )
        })
    }

    #[test]
    fn what_a_stranger_sends_is_not_logged_unless_its_library_is_named() {
        assert_eq!(logged(None, "info"), (false, true));
        for said in ["info", "trace", "debug,hyper=off"] {
            assert_eq!(logged(Some(said), "error"), (false, true), "{said}");
        }
        assert_eq!(logged(Some("warn,stun_types=debug"), "info"), (true, false));
        assert_eq!(logged(None, "warn,stun_types=warn"), (true, false));
        assert_eq!(logged(None, "warn,h2=warn"), (true, false));
    }

    #[test]
    fn an_environment_that_means_nothing_leaves_the_configured_level() {
        for said in ["", "relay=loud=quiet"] {
            assert_eq!(logged(Some(said), "warn"), (false, false), "{said}");
            assert_eq!(logged(Some(said), "info"), (false, true), "{said}");
        }
    }
}
