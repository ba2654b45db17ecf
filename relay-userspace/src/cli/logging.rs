//! Logs go to stderr; `RUST_LOG` beats everything, as in every Rust program.

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// A second call in one process changes nothing.
pub fn start(log: &Log) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| default_filter(&log.level));
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

/// The codec warns about every malformed packet, so strangers could fill the log: those are counted instead.
fn default_filter(level: &str) -> EnvFilter {
    EnvFilter::new(format!("{level},stun_types=off,turn_types=off"))
}
