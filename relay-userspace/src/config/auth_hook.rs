//! `[auth.hook]`: the service that is asked about users, and for how long it is believed.

use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;

use super::fault::{At, Faults};
use super::file::path_of;
use super::load;
use super::reader::Section;
use super::value::{self, Read};
use crate::secret::Secret;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// `http` or `https`.
    pub url: Uri,
    /// For an answer; default 2 s.
    pub timeout: Duration,
    /// How long a yes holds; default 60 s. A no: 10 s.
    pub cache_ttl: Duration,
    pub negative_ttl: Duration,
    /// Accounts that are remembered, and as many refused names; default 10,000.
    pub cache_entries: usize,
    /// Questions at the same time; default 64.
    pub max_concurrent: usize,
    /// Of the clients of one source prefix (/24, /48); default 20.
    pub questions_per_second: u32,
    /// Sent as `Authorization: Bearer`.
    pub token: Option<Secret<String>>,
    pub token_file: Option<PathBuf>,
    /// Whom to trust instead of the host's authorities.
    pub ca_file: Option<PathBuf>,
}

const LONGEST_TIMEOUT: Duration = Duration::from_secs(30);
const LONGEST_CACHE: Duration = Duration::from_secs(86_400);
const MOST_ENTRIES: usize = 10_000_000;
const MOST_CONCURRENT: usize = 10_000;
const MOST_QUESTIONS: u32 = 1_000_000;

pub fn read(auth: &mut Section<'_>, faults: &mut Faults) -> Option<At<Hook>> {
    if !auth.has("hook") {
        return None;
    }
    let mut hook = auth.section("hook", faults);
    let place = hook.place().clone();
    let url = hook.text("url", faults, value::web_address);
    let mut time = |key, seconds, longest| {
        let said = hook.text(key, faults, |text| value::wait(text, longest));
        said.map_or(Duration::from_secs(seconds), |at| at.value)
    };
    let timeout = time("timeout", 2, LONGEST_TIMEOUT);
    let cache_ttl = time("cache_ttl", 60, LONGEST_CACHE);
    let negative_ttl = time("negative_ttl", 10, LONGEST_CACHE);
    let mut number = |key, usual, most| {
        let said = hook.number_in(key, 1..=most, faults);
        said.map_or(usual, |at: At<usize>| at.value)
    };
    let cache_entries = number("cache_entries", 10_000, MOST_ENTRIES);
    let max_concurrent = number("max_concurrent", 64, MOST_CONCURRENT);
    let per_second = hook.number_in("questions_per_second", 1..=MOST_QUESTIONS, faults);
    let token = hook.text("token_file", faults, token);
    let ca_file = hook.text("ca_file", faults, path_of);
    hook.needs("url", "write url = \"https://…\"", faults);
    hook.finish(faults);
    let (token_file, token) = token.map(|at| at.value).unzip();
    Some(place.of(Hook {
        url: url?.value,
        timeout,
        cache_ttl,
        negative_ttl,
        cache_entries,
        max_concurrent,
        questions_per_second: per_second.map_or(20, |at| at.value),
        token,
        token_file,
        ca_file: ca_file.map(|at| at.value),
    }))
}

/// A file, and the token it holds.
fn token(text: &str) -> Read<(PathBuf, Secret<String>)> {
    let path = path_of(text)?;
    let token = load::text_of(&path)?.trim().to_owned();
    match !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok((path, Secret::new(token))),
        false => value::wrong(
            format!("{text} holds no token"),
            "write one line of letters, digits and signs",
        ),
    }
}
