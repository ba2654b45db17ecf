//! `[api]`: what strangers may ask of the relay itself over HTTPS, whose keys and pages it knows, and how often.

use std::path::PathBuf;
use std::time::Duration;

use toml_edit::{Table, value as item};

use super::fault::{At, Faults, Wrong};
use super::file::{any, path_of};
use super::load;
use super::raw::Raw;
use super::reader::Section;
use super::show::{list, number, tables};
use super::signaling::{or, values};
use super::value::{self, Read, duration_text};
use crate::admin::request::LONGEST_TTL;
use crate::secret::Secret;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicApi {
    /// Default true.
    pub enabled: bool,
    /// The page `/check` and its echo; default true.
    pub check: bool,
    /// Names it answers to; empty: all. Elsewhere its paths are those of the routes.
    pub hosts: Vec<String>,
    /// Pages that may ask, by their `Origin`; `*`: all. Default none.
    pub allow_origins: Vec<String>,
    /// Requests of one /24 or /48; default 20.
    pub requests_per_second: u32,
    /// Life of a credential; default 1 h, at most 24 h.
    pub default_ttl: Duration,
    pub max_ttl: Duration,
    /// Where clients reach TURN; default the host they asked.
    pub host: Option<String>,
    /// Of this relay; default `default`.
    pub region: String,
    pub keys: Vec<ApiKey>,
}

/// Of a server that asks for its users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    pub name: String,
    /// The text of `file`.
    pub key: Secret<String>,
    pub file: PathBuf,
}

const MOST_REQUESTS: u32 = 1_000_000;
/// Shorter ones can be guessed.
const SHORTEST_KEY: usize = 16;

impl Default for PublicApi {
    fn default() -> Self {
        Self {
            enabled: true,
            check: true,
            hosts: Vec::new(),
            allow_origins: Vec::new(),
            requests_per_second: 20,
            default_ttl: Duration::from_secs(3600),
            max_ttl: Duration::from_secs(86_400),
            host: None,
            region: "default".to_owned(),
            keys: Vec::new(),
        }
    }
}

pub fn read(root: &mut Section<'_>, faults: &mut Faults) -> Option<At<PublicApi>> {
    if !root.has("api") {
        return None;
    }
    let mut api = root.section("api", faults);
    let place = api.place().clone();
    let usual = PublicApi::default();
    let keys = api.sections("keys", faults).unwrap_or_default();
    let keys = keys.into_iter().filter_map(|one| key(one, faults));
    let keys = keys.collect();
    let read = PublicApi {
        enabled: or(api.boolean("enabled", faults), usual.enabled),
        check: or(api.boolean("check", faults), usual.check),
        hosts: values(api.texts("hosts", faults, host)),
        allow_origins: values(api.texts("allow_origins", faults, any)),
        requests_per_second: or(
            api.number("requests_per_second", faults),
            usual.requests_per_second,
        ),
        default_ttl: or(
            api.text("default_ttl", faults, value::duration),
            usual.default_ttl,
        ),
        max_ttl: or(api.text("max_ttl", faults, value::duration), usual.max_ttl),
        host: api.text("host", faults, host).map(|at| at.value),
        region: or(api.text("region", faults, value::name), usual.region),
        keys,
    };
    api.finish(faults);
    Some(place.of(read))
}

fn key(mut one: Section<'_>, faults: &mut Faults) -> Option<ApiKey> {
    let name = one.text("name", faults, value::name);
    let file = one.text("file", faults, key_file);
    one.needs("name", "write name = \"…\", of whom the key is", faults);
    one.needs(
        "file",
        "write file = \"…\", with the output of `openssl rand -hex 32`",
        faults,
    );
    one.finish(faults);
    let (file, key) = file?.value;
    Some(ApiKey {
        name: name?.value,
        key,
        file,
    })
}

fn key_file(text: &str) -> Read<(PathBuf, Secret<String>)> {
    let path = path_of(text)?;
    let key = load::text_of(&path)?.trim().to_owned();
    let good = key.len() >= SHORTEST_KEY && key.bytes().all(|byte| byte.is_ascii_graphic());
    match good {
        true => Ok((path, Secret::new(key))),
        false => value::wrong(
            format!("{text} holds no key"),
            "write the output of `openssl rand -hex 32` there",
        ),
    }
}

fn host(text: &str) -> Read<String> {
    match value::public_host(text)? {
        (host, None) => Ok(host.to_ascii_lowercase()),
        _ => value::wrong(
            format!("{text:?} has a port"),
            "write the name alone: ports are those the relay listens on",
        ),
    }
}

pub fn rules(raw: &Raw, faults: &mut Faults) {
    let Some(At { value: api, place }) = &raw.api else {
        return;
    };
    let mut add = |problem: String, remedy: &str| faults.add(place, Wrong::new(problem, remedy));
    let longest = Duration::from_secs(LONGEST_TTL);
    let second = Duration::from_secs(1);
    if api.default_ttl < second || api.default_ttl > api.max_ttl || api.max_ttl > longest {
        add(
            "no credential could live that long".to_owned(),
            "write 1s <= default_ttl <= max_ttl <= 30d",
        );
    }
    if !(1..=MOST_REQUESTS).contains(&api.requests_per_second) {
        add(
            "requests_per_second would let nobody in, or everybody".to_owned(),
            &format!("write 1 to {MOST_REQUESTS}"),
        );
    }
    for (index, one) in api.keys.iter().enumerate() {
        if api.keys[..index].iter().any(|first| first.name == one.name) {
            add(format!("key {} is there twice", one.name), "remove one");
        }
    }
}

/// As the file would say it.
pub fn shown(api: &PublicApi) -> Table {
    let mut table: Table = [
        ("enabled", item(api.enabled)),
        ("check", item(api.check)),
        ("hosts", list(&api.hosts)),
        ("allow_origins", list(&api.allow_origins)),
        (
            "requests_per_second",
            number(api.requests_per_second as usize),
        ),
        ("default_ttl", item(duration_text(api.default_ttl))),
        ("max_ttl", item(duration_text(api.max_ttl))),
        ("region", item(&api.region)),
    ]
    .into_iter()
    .chain(api.host.iter().map(|host| ("host", item(host))))
    .collect();
    table["keys"] = tables(api.keys.iter().map(|one| {
        [
            ("name", item(&one.name)),
            ("file", item(one.file.display().to_string())),
        ]
        .into_iter()
        .collect()
    }));
    table
}
