//! The command line as data. Values that the configuration also knows stay text here: one reader, one set of faults.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use super::check::Wish;
use super::connect::Connect;
use super::exit;
use super::flags::ServeFlags;
use crate::api::SessionId;
use crate::config::value;
use crate::events::Pattern;

/// TURN and UDP forwards, relayed in the kernel.
#[derive(Debug, Parser)]
#[command(name = "relay", version, after_help = exit::HELP, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Clone, Default, Args)]
pub struct Global {
    /// Unix socket of the relay [default: /run/relay/admin.sock for root]
    #[arg(
        long,
        global = true,
        help_heading = "Global options",
        value_name = "PATH",
        env = "RELAY_ADMIN_SOCKET",
        hide_env_values = true
    )]
    pub admin_socket: Option<PathBuf>,
    /// What to log on stderr: error, warn, info, debug, trace or directives
    #[arg(
        long,
        global = true,
        help_heading = "Global options",
        value_name = "LEVEL"
    )]
    pub log: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Relay until SIGTERM
    #[command(
        after_help = "A flag of a list can be given several times; together they replace the list of the file."
    )]
    Serve(Box<ServeFlags>),
    /// Remove what a relay that is gone left running in the kernel, and its journal
    Detach(Detach),
    /// What the running relay does and where
    Status(Read),
    /// Read certificates and configuration again; a bad file changes nothing
    Reload(Read),
    /// What happens to allocations, permissions, channels, sessions and connections, as it happens
    Events(Events),
    /// Begin nothing new, let run out what runs, then end the relay; shows what is left
    Drain(Drain),
    /// Live view of the sessions, in a terminal
    #[command(
        after_help = "Keys: q quit, / filter, r p b a u order by rate, packets, bytes, age, user; the same again turns it."
    )]
    Top,
    /// Sessions: TURN channels and clients of forwards
    #[command(subcommand)]
    Session(Session),
    /// Who uses the relay, with what
    #[command(subcommand)]
    User(UserCommand),
    /// What sessions and users may send and receive in a second
    #[command(subcommand)]
    Limit(Limit),
    /// Public UDP ports that lead to a destination
    #[command(subcommand)]
    Forward(Forward),
    /// Print ICE servers with a time-limited credential, ready to paste
    Credentials(Credentials),
    /// Open local ports that lead through a relay, over UDP or TLS, whichever works
    Connect(Box<Connect>),
    /// What works between here and a relay, how fast, and what to ask the firewall's keeper for
    #[command(
        after_help = "Exits 0 when everything works, 1 when the mode works but not all of the rest, 69 when the mode does not work, 77 when the relay refuses this user."
    )]
    Check(Box<Wish>),
    /// Check or show the configuration
    #[command(subcommand)]
    Config(Config),
    /// Check kernel, cards, limits, ports and firewall, and say what to do
    #[command(
        after_help = "Takes the flags of `relay serve`. Changes nothing. Exits 1 when something fails; warnings alone are 0."
    )]
    Doctor {
        #[command(flatten)]
        flags: Box<ServeFlags>,
        #[command(flatten)]
        read: Read,
    },
    /// Print the version
    Version(Read),
}

#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Read {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub struct Events {
    /// Only these: allocation, permission, channel, session, connection or drain; created, changed or ended; or both, as
    /// in channel.ended
    #[arg(long, value_name = "EVENTS", value_delimiter = ',', value_parser = value::event_pattern)]
    pub filter: Vec<Pattern>,
    /// Only those of this TURN user or forward
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    #[command(flatten)]
    pub read: Read,
}

#[derive(Debug, Clone, Args)]
pub struct Drain {
    /// When to end what is left
    #[arg(long, default_value = "10m", value_name = "DURATION", value_parser = value::duration)]
    pub deadline: Duration,
    /// End when so many allocations and sessions of forwards are left
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub until: u64,
    /// Take it back: new sessions are welcome again
    #[arg(long, conflicts_with_all = ["deadline", "until"])]
    pub cancel: bool,
    #[command(flatten)]
    pub read: Read,
}

#[derive(Debug, Args)]
pub struct Detach {
    /// The configuration that relay had
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where its maps and links are pinned
    #[arg(long, value_name = "DIR")]
    pub pin_directory: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Session {
    /// All sessions
    List {
        /// Only those of this TURN user or forward
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        #[command(flatten)]
        read: Read,
    },
    /// One session in full
    Show {
        #[arg(value_parser = session_id)]
        id: SessionId,
        #[command(flatten)]
        read: Read,
    },
    /// End a session; of a TURN session its whole allocation
    #[command(group(clap::ArgGroup::new("which").args(["id", "user"]).required(true)))]
    Kill {
        #[arg(value_parser = session_id)]
        id: Option<SessionId>,
        /// All of this TURN user or forward
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
    },
}

/// Whoever may use it is in the configuration: `relay reload` takes users in and out.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Users of the configuration, and all others that hold something now
    List(Read),
    /// One of them
    Show {
        name: String,
        #[command(flatten)]
        read: Read,
    },
}

#[derive(Debug, Subcommand)]
pub enum Limit {
    /// What is limited, and whose packets were dropped
    List(Read),
    /// Change a limit on what runs; it outlives the process as sessions do ([rates] in the configuration lasts longer)
    Set(LimitSet),
}

#[derive(Debug, Args)]
pub struct LimitSet {
    #[command(flatten)]
    pub of: LimitOf,
    /// Bits per second in each direction, such as 10M
    #[arg(long, value_name = "RATE", value_parser = value::bit_rate, required_unless_present_any = ["packets", "none"])]
    pub bits: Option<u64>,
    /// Packets per second in each direction
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub packets: Option<u64>,
    /// No limit
    #[arg(long, conflicts_with_all = ["bits", "packets"])]
    pub none: bool,
    #[command(flatten)]
    pub read: Read,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct LimitOf {
    /// Of every session that has no limit of its own
    #[arg(long)]
    pub sessions: bool,
    /// Of every user that has no limit of its own, over all of its sessions
    #[arg(long)]
    pub users: bool,
    /// Of one user, over all of its sessions
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Of one session that runs
    #[arg(long, value_name = "ID", value_parser = session_id)]
    pub session: Option<SessionId>,
}

#[derive(Debug, Subcommand)]
pub enum Forward {
    /// Open a public port; it lasts until removed or until the relay ends
    Add(ForwardAdd),
    /// All forwards
    List(Read),
    /// Close a public port and end its sessions
    Remove {
        // It becomes part of a path: only what can be a name may go there.
        #[arg(value_parser = value::name)]
        name: String,
    },
}

#[derive(Debug, Args)]
pub struct ForwardAdd {
    /// The public port; udp/ADDRESS:PORT for one address of the host
    #[arg(long, value_name = "udp/PORT")]
    pub listen: String,
    /// Where packets go
    #[arg(long, value_name = "HOST:PORT")]
    pub to: String,
    /// Clients that may use it [default: anyone]
    #[arg(long, value_name = "CIDR")]
    pub allow: Vec<String>,
    /// End a session after this long without packets [default: 60s]
    #[arg(long, value_name = "DURATION")]
    pub idle: Option<String>,
    /// Clients at the same time [default: 1000]
    #[arg(long, value_name = "N")]
    pub max_sessions: Option<usize>,
    /// What it is called in lists and for `remove` [default: udp-PORT]
    #[arg(long)]
    pub name: Option<String>,
    #[command(flatten)]
    pub read: Read,
}

#[derive(Debug, Args)]
pub struct Credentials {
    /// Whom the credential is for
    #[arg(long, value_name = "NAME")]
    pub user: String,
    /// How long it may be used
    #[arg(long, default_value = "1h", value_name = "DURATION", value_parser = value::duration)]
    pub ttl: Duration,
    /// Where clients reach the relay [default: its own address and port]
    #[arg(long, value_name = "HOST[:PORT]")]
    pub url: Option<String>,
    /// Make it from this secret, without a running relay
    #[arg(long, conflicts_with = "secret_file")]
    pub secret: Option<String>,
    /// Make it from the first secret of this file
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// Make it from the secrets of this configuration
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON (it always is; accepted so that every read takes it)
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Config {
    /// Tell every fault of a configuration file at once
    Check {
        /// [default: /etc/relay/relay.toml]
        file: Option<PathBuf>,
        #[command(flatten)]
        read: Read,
    },
    /// What file, environment and flags add up to, secrets as ***
    Show {
        #[command(flatten)]
        flags: Box<ServeFlags>,
        #[command(flatten)]
        read: Read,
    },
}

fn session_id(text: &str) -> Result<SessionId, &'static str> {
    text.parse()
        .map_err(|_| "not a number of `relay session list`")
}
