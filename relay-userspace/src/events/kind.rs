//! Which event it is, and why it happened, as words. Data only.

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($variant,)* }

        impl $name {
            pub const ALL: &[$name] = &[$($name::$variant,)*];

            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }

            pub fn of_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.word() == word)
            }
        }
    };
}

words! {
    /// What an event is about.
    What {
        Allocation = "allocation",
        Permission = "permission",
        Channel = "channel",
        Session = "session",
        Connection = "connection",
        Drain = "drain",
    }
}

words! {
    Change {
        Created = "created",
        Changed = "changed",
        Ended = "ended",
    }
}

/// `allocation.created` and so on; `subscribed` and `lost` are about the stream itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Kind {
    Of(What, Change),
    Subscribed,
    Lost,
}

impl From<Kind> for String {
    fn from(kind: Kind) -> String {
        kind.to_string()
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Kind::Of(what, change) => write!(f, "{}.{}", what.word(), change.word()),
            Kind::Subscribed => f.write_str("subscribed"),
            Kind::Lost => f.write_str("lost"),
        }
    }
}

impl TryFrom<String> for Kind {
    type Error = String;

    fn try_from(text: String) -> Result<Kind, String> {
        let of = || {
            let (what, change) = text.split_once('.')?;
            Some(Kind::Of(What::of_word(what)?, Change::of_word(change)?))
        };
        match text.as_str() {
            "subscribed" => Ok(Kind::Subscribed),
            "lost" => Ok(Kind::Lost),
            _ => of().ok_or_else(|| format!("{text:?} is not an event")),
        }
    }
}

/// Why something changed or ended. `docs/events.md` says what each means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Nobody refreshed it.
    Expired,
    /// Its credential did, and `auth.strict_expiry` counts it.
    CredentialExpired,
    /// Its user, password or secret is no longer in the configuration.
    Revoked,
    /// By its client.
    Deleted,
    /// By the operator.
    Killed,
    /// The client's connection is gone.
    Disconnected,
    /// Another client has its 5-tuple now.
    Replaced,
    /// On its way to another worker.
    Lost,
    /// A drain's deadline, or what `--until` allowed to be left.
    Drained,
    /// The relay stops.
    Stopped,
    /// No packet for as long as the forward allows.
    Idle,
    /// The forward was removed.
    Removed,
    /// The destination may not be reached any more.
    Denied,
    /// A side of the connection closed it.
    Closed,
    /// The client gave one of two relayed addresses up.
    FamilyEnded,
    Refreshed,
    /// Its client has another 5-tuple.
    Moved,
    /// A data connection has taken it.
    Bound,
    /// An earlier process left it.
    Adopted,
    Cancelled,
}
