//! `[auth.hook]`: the service that is asked about users, and for how long it is believed.

use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;

use super::fault::{At, Faults, Wrong};
use super::file::path_of;
use super::raw::Raw;
use super::reader::Section;
use super::value;
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
    /// Names that are remembered; default 10,000.
    pub cache_entries: usize,
    /// Questions at the same time; default 64.
    pub max_concurrent: usize,
    /// Sent as `Authorization: Bearer`.
    pub token: Option<Secret<String>>,
    pub token_file: Option<PathBuf>,
    /// Whom to trust instead of the host's authorities.
    pub ca_file: Option<PathBuf>,
}

const LONGEST_TIMEOUT: Duration = Duration::from_secs(30);
const LONGEST_CACHE: Duration = Duration::from_secs(86_400);

pub fn read(auth: &mut Section<'_>, faults: &mut Faults) -> Option<At<Hook>> {
    if !auth.has("hook") {
        return None;
    }
    let mut hook = auth.section("hook", faults);
    let place = hook.place().clone();
    let url = hook.text("url", faults, value::web_address);
    let mut duration = |key, default| {
        let said = hook.text(key, faults, value::duration);
        said.map_or(default, |at| at.value)
    };
    let timeout = duration("timeout", Duration::from_secs(2));
    let cache_ttl = duration("cache_ttl", Duration::from_secs(60));
    let negative_ttl = duration("negative_ttl", Duration::from_secs(10));
    let entries = hook.number("cache_entries", faults);
    let concurrent = hook.number("max_concurrent", faults);
    let token_file = hook.text("token_file", faults, path_of);
    let ca_file = hook.text("ca_file", faults, path_of);
    hook.needs("url", "write url = \"https://…\"", faults);
    hook.finish(faults);
    Some(place.of(Hook {
        url: url?.value,
        timeout,
        cache_ttl,
        negative_ttl,
        cache_entries: entries.map_or(10_000, |at| at.value),
        max_concurrent: concurrent.map_or(64, |at| at.value),
        token: None,
        token_file: token_file.map(|at| at.value),
        ca_file: ca_file.map(|at| at.value),
    }))
}

pub fn rules(raw: &Raw, faults: &mut Faults) {
    let Some(At { value: hook, place }) = &raw.hook else {
        return;
    };
    let times = [hook.timeout, hook.cache_ttl, hook.negative_ttl];
    let longest = [LONGEST_TIMEOUT, LONGEST_CACHE, LONGEST_CACHE];
    let wrong = |time: (&Duration, Duration)| time.0.is_zero() || *time.0 > time.1;
    if times.iter().zip(longest).any(wrong) {
        let remedy = "write a timeout up to 30s, cache_ttl and negative_ttl up to 1d";
        faults.add(place, Wrong::new("a time is 0 or too long", remedy));
    }
    if hook.cache_entries == 0 || hook.max_concurrent == 0 {
        let remedy = "write 1 or more, or leave the key out";
        faults.add(place, Wrong::new("0 would ask about nobody", remedy));
    }
    if hook
        .token
        .as_ref()
        .is_some_and(|token| !is_token(token.expose()))
    {
        let remedy = "write one line of letters, digits and signs";
        faults.add(place, Wrong::new("token_file holds no token", remedy));
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}
