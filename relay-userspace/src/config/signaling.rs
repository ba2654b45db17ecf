//! `[signaling]` and its routes: which requests on the relay's HTTPS address go to which origins, and how much of them.

use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;
use ipnet::IpNet;
use toml_edit::{Table, value as item};

use super::fault::{At, Faults, Wrong};
use super::file::{any, path_of};
use super::raw::Raw;
use super::reader::Section;
use super::show::{list, number, tables};
use super::value::{self, Read, duration_text};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signaling {
    pub routes: Vec<Route>,
    /// Balancers that speak HTTP: what they say of the client in `Forwarded` and `X-Forwarded-*` is kept.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether HTTP without TLS is served as well, as behind a balancer that ends TLS. Default false.
    pub allow_plain: bool,
    /// Lines of the access log in a second; default 50, 0: none.
    pub access_log_per_second: u32,
    /// HTTP connections in all; default 10,000. Of one /24 or /48: default 1000.
    pub max_connections: usize,
    pub max_connections_per_prefix: u32,
    /// Of all headers of a request; default 16 KiB.
    pub max_header_bytes: usize,
    /// Until a connection without a request under way is closed; default 30 s.
    pub keep_alive: Duration,
}

/// A host and a path prefix, and who answers there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Lower case; `*.` in front: any name below it. `None`: any.
    pub host: Option<String>,
    /// Whole segments, so `/a` is `/a`, `/a/` and `/a/b`, and never `/ab`. Default `/`.
    pub path: String,
    /// Each a scheme, a host and a port.
    pub origins: Vec<Uri>,
    /// Authorities for origins with `https`; default those of this host.
    pub ca_file: Option<PathBuf>,
    /// Whether origins see the host the client asked for, or their own. Default the client's.
    pub host_header: HostHeader,
    /// Values of `Origin` that are let in; empty: any, and none.
    pub allow_origins: Vec<String>,
    /// Default 3 s.
    pub connect_timeout: Duration,
    /// From the end of the request to the head of the answer; default 30 s.
    pub response_timeout: Duration,
    /// Until a body, an event stream or a WebSocket that moves nothing is closed; default 2 min.
    pub idle_timeout: Duration,
    /// Of a request; default 16 MiB.
    pub max_body_bytes: u64,
    /// Requests and WebSockets at the same time; default 10,000.
    pub max_concurrent: usize,
    /// Asked of every origin; an answer below 400 is good. Default none: an origin is known by how it answers.
    pub health_path: Option<String>,
    /// Default 5 s.
    pub health_interval: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostHeader {
    Client,
    Origin,
}

/// A meter of handshakes is one of requests as well.
const MOST_LINES: u32 = 10_000;
const LONGEST_TIME: Duration = Duration::from_secs(86_400);
/// hyper needs so much to read anything.
const SMALLEST_HEADER: usize = 8 << 10;
const LARGEST_HEADER: usize = 1 << 20;

impl Default for Signaling {
    fn default() -> Self {
        Self {
            routes: Vec::new(),
            trusted_proxies: Vec::new(),
            allow_plain: false,
            access_log_per_second: 50,
            max_connections: 10_000,
            max_connections_per_prefix: 1000,
            max_header_bytes: 16 << 10,
            keep_alive: Duration::from_secs(30),
        }
    }
}

impl Route {
    /// As an operator would call it.
    pub fn name(&self) -> String {
        format!("{}{}", self.host.as_deref().unwrap_or("*"), self.path)
    }
}

pub fn read(root: &mut Section<'_>, faults: &mut Faults) -> Option<At<Signaling>> {
    if !root.has("signaling") {
        return None;
    }
    let mut all = root.section("signaling", faults);
    let place = all.place().clone();
    let usual = Signaling::default();
    let routes = all.sections("route", faults).unwrap_or_default();
    let routes = routes.into_iter().filter_map(|one| route(one, faults));
    let routes = routes.collect();
    let trusted = all.texts("trusted_proxies", faults, value::network);
    let signaling = Signaling {
        routes,
        trusted_proxies: values(trusted),
        allow_plain: or(all.boolean("allow_plain", faults), usual.allow_plain),
        access_log_per_second: or(
            all.number("access_log_per_second", faults),
            usual.access_log_per_second,
        ),
        max_connections: or(all.number("max_connections", faults), usual.max_connections),
        max_connections_per_prefix: or(
            all.number("max_connections_per_prefix", faults),
            usual.max_connections_per_prefix,
        ),
        max_header_bytes: or(
            all.number("max_header_bytes", faults),
            usual.max_header_bytes,
        ),
        keep_alive: or(
            all.text("keep_alive", faults, |text| value::wait(text, LONGEST_TIME)),
            usual.keep_alive,
        ),
    };
    all.finish(faults);
    Some(place.of(signaling))
}

fn route(mut one: Section<'_>, faults: &mut Faults) -> Option<Route> {
    let host = one.text("host", faults, host);
    let path = one.text("path", faults, prefix);
    let origins = one.texts("origins", faults, origin);
    let ca_file = one.text("ca_file", faults, path_of);
    let host_header = one.text("host_header", faults, host_header);
    let allow_origins = one.texts("allow_origins", faults, any);
    let mut time = |key, seconds| {
        let said = one.text(key, faults, |text| value::wait(text, LONGEST_TIME));
        or(said, Duration::from_secs(seconds))
    };
    let connect_timeout = time("connect_timeout", 3);
    let response_timeout = time("response_timeout", 30);
    let idle_timeout = time("idle_timeout", 120);
    let health_interval = time("health_interval", 5);
    let max_body_bytes = or(one.number("max_body_bytes", faults), 16 << 20);
    let max_concurrent = one.number("max_concurrent", faults);
    if let Some(at) = max_concurrent.as_ref().filter(|at| at.value == 0) {
        let remedy = "write 1 or more, or leave the key out";
        faults.add(&at.place, Wrong::new("0 would refuse everything", remedy));
    }
    let health_path = one.text("health_path", faults, self::path);
    one.needs("origins", "write origins = [\"http://HOST:PORT\"]", faults);
    let place = one.place().clone();
    one.finish(faults);
    let origins: Vec<_> = origins?.into_iter().map(|at| at.value).collect();
    if origins.is_empty() {
        let remedy = "write origins = [\"http://HOST:PORT\"]";
        faults.add(&place, Wrong::new("names no origin", remedy));
    }
    Some(Route {
        host: host.and_then(|at| at.value),
        path: or(path, "/".to_owned()),
        origins,
        ca_file: ca_file.map(|at| at.value),
        host_header: or(host_header, HostHeader::Client),
        allow_origins: values(allow_origins),
        connect_timeout,
        response_timeout,
        idle_timeout,
        max_body_bytes,
        max_concurrent: or(max_concurrent, 10_000),
        health_path: health_path.map(|at| at.value),
        health_interval,
    })
}

pub(super) fn or<T>(said: Option<At<T>>, usual: T) -> T {
    said.map_or(usual, |at| at.value)
}

pub(super) fn values<T>(said: Option<Vec<At<T>>>) -> Vec<T> {
    said.into_iter().flatten().map(|at| at.value).collect()
}

/// `*` is any.
fn host(text: &str) -> Read<Option<String>> {
    if text == "*" {
        return Ok(None);
    }
    let name = text.strip_prefix("*.").unwrap_or(text);
    match value::public_host(name) {
        Ok((_, None)) if !name.contains('*') => Ok(Some(text.to_ascii_lowercase())),
        _ => value::wrong(
            format!("{text:?} is not a host"),
            "write a name without a port, *.NAME, or *",
        ),
    }
}

fn path(text: &str) -> Read<String> {
    let plain = text.starts_with('/')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"?#%\\".contains(&byte));
    let segments = text.split('/').any(|one| one == "." || one == "..");
    match plain && !segments && !text.contains("//") {
        true => Ok(text.to_owned()),
        false => value::wrong(
            format!("{text:?} is not a path"),
            "write /, or /SEGMENT/SEGMENT without escapes",
        ),
    }
}

fn prefix(text: &str) -> Read<String> {
    let path = path(text)?;
    let trimmed = path.trim_end_matches('/');
    Ok(if trimmed.is_empty() { "/" } else { trimmed }.to_owned())
}

/// Nothing behind the authority: the path is the client's.
fn origin(text: &str) -> Read<Uri> {
    let uri = value::web_address(text)?;
    match uri.path_and_query().is_none_or(|rest| rest.as_str() == "/") {
        true => Ok(uri),
        false => value::wrong(
            "an origin has no path of its own",
            "write http://HOST:PORT or https://HOST:PORT",
        ),
    }
}

fn host_header(text: &str) -> Read<HostHeader> {
    match text {
        "client" => Ok(HostHeader::Client),
        "origin" => Ok(HostHeader::Origin),
        _ => value::wrong(
            format!("{text:?} is not one"),
            "write \"client\" or \"origin\"",
        ),
    }
}

pub fn rules(raw: &Raw, faults: &mut Faults) {
    let Some(At {
        value: signaling,
        place,
    }) = &raw.signaling
    else {
        return;
    };
    let mut add = |problem: String, remedy: &str| faults.add(place, Wrong::new(problem, remedy));
    if signaling.max_connections == 0 || signaling.max_connections_per_prefix == 0 {
        add(
            "0 connections would refuse everybody".to_owned(),
            "write 1 or more, or leave the key out",
        );
    }
    if !(SMALLEST_HEADER..=LARGEST_HEADER).contains(&signaling.max_header_bytes) {
        let problem = format!(
            "max_header_bytes = {} cannot be held to",
            signaling.max_header_bytes
        );
        add(
            problem,
            &format!("write {SMALLEST_HEADER} to {LARGEST_HEADER}"),
        );
    }
    if signaling.access_log_per_second > MOST_LINES {
        add(
            "the access log would be all the relay does".to_owned(),
            &format!("write access_log_per_second up to {MOST_LINES}"),
        );
    }
    for (index, one) in signaling.routes.iter().enumerate() {
        let same = |first: &Route| first.name() == one.name();
        if signaling.routes[..index].iter().any(same) {
            add(
                format!("route {} is there twice", one.name()),
                "put all origins into one",
            );
        }
    }
}

/// As the file would say it.
pub fn shown(signaling: &Signaling) -> Table {
    let mut table: Table = [
        ("trusted_proxies", list(&signaling.trusted_proxies)),
        ("allow_plain", item(signaling.allow_plain)),
        (
            "access_log_per_second",
            number(signaling.access_log_per_second as usize),
        ),
        ("max_connections", number(signaling.max_connections)),
        (
            "max_connections_per_prefix",
            number(signaling.max_connections_per_prefix as usize),
        ),
        ("max_header_bytes", number(signaling.max_header_bytes)),
        ("keep_alive", item(duration_text(signaling.keep_alive))),
    ]
    .into_iter()
    .collect();
    table["route"] = tables(signaling.routes.iter().map(shown_route));
    table
}

fn shown_route(route: &Route) -> Table {
    let time = |time| item(duration_text(time));
    let host_header = match route.host_header {
        HostHeader::Client => "client",
        HostHeader::Origin => "origin",
    };
    let file = |path: &PathBuf| item(path.display().to_string());
    [
        ("host", item(route.host.as_deref().unwrap_or("*"))),
        ("path", item(&route.path)),
        ("origins", list(&route.origins)),
        ("host_header", item(host_header)),
        ("allow_origins", list(&route.allow_origins)),
        ("connect_timeout", time(route.connect_timeout)),
        ("response_timeout", time(route.response_timeout)),
        ("idle_timeout", time(route.idle_timeout)),
        ("max_body_bytes", number(route.max_body_bytes as usize)),
        ("max_concurrent", number(route.max_concurrent)),
        ("health_interval", time(route.health_interval)),
    ]
    .into_iter()
    .chain(route.ca_file.iter().map(|path| ("ca_file", file(path))))
    .chain(
        route
            .health_path
            .iter()
            .map(|path| ("health_path", item(path))),
    )
    .collect()
}
