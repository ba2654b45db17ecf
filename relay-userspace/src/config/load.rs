//! Flags over environment over file over defaults, read into one validated `Settings`, or every fault of all of them.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::env::Environment;
use super::fault::{At, Faults, Origin, Place, Wrong};
use super::raw::Raw;
use super::warning::{in_words, open_to_others};
use super::{Settings, accounts, defaults, env, file, validate};
use crate::secret::Secret;

/// Bytes of the largest file that is read.
const LARGEST_FILE: u64 = 4 << 20;

/// Where a configuration comes from. `faults` holds what was already wrong with the flags.
pub struct Layers<'a> {
    pub flags: Raw,
    pub faults: Faults,
    pub environment: Environment<'a>,
    /// `--config`; `None`: the default file, if there is one.
    pub file: Option<&'a Path>,
}

impl<'a> Layers<'a> {
    /// One file alone, for `relay config check`; `None`: the default one, if it exists.
    pub fn only_file(file: Option<&'a Path>) -> Self {
        Self {
            flags: Raw::default(),
            faults: Faults::default(),
            environment: &|_| None,
            file,
        }
    }
}

pub fn load(layers: Layers<'_>) -> Result<Settings, Faults> {
    let mut faults = layers.faults;
    let mut warnings = Vec::new();
    let (path, text) = text(layers.file, &mut faults);
    let from_file = match (&path, text) {
        (Some(path), Some(text)) => file::read(path, &text, &mut faults),
        _ => Raw::default(),
    };
    let holds_secrets = from_file.secrets.is_some() || from_file.shared_secrets.is_some();
    if holds_secrets || from_file.users.is_some() {
        warnings.extend(path.as_deref().and_then(open_to_others));
    }
    let from_env = env::read(layers.environment, &mut faults);
    let mut raw = layers.flags.over(from_env).over(from_file);
    let secret_path = raw.secret_file.as_ref().map(|path| path.value.clone());
    warnings.extend(secret_path.as_deref().and_then(open_to_others));
    secret_file(&mut raw, &mut faults);
    accounts::read_files(&mut raw, &mut faults);
    let named = files_named(&raw);
    let (config, log) = validate::validate(raw, &mut faults);
    if !faults.is_empty() {
        faults.sort();
        return Err(faults);
    }
    Ok(Settings {
        config,
        log,
        files: path
            .iter()
            .chain(&secret_path)
            .cloned()
            .chain(named)
            .collect(),
        file: path,
        warnings,
    })
}

fn text(named: Option<&Path>, faults: &mut Faults) -> (Option<PathBuf>, Option<String>) {
    let path = named.unwrap_or(Path::new(defaults::CONFIG_FILE));
    match read_text(path) {
        Ok(text) => (Some(path.to_owned()), Some(text)),
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => (None, None),
        Err(error) => {
            let place = Place {
                origin: Origin::File {
                    path: path.to_owned(),
                    line: 0,
                },
                key: String::new(),
            };
            faults.add(
                &place,
                Wrong::new(
                    format!("cannot be read ({})", in_words(&error)),
                    readable(&error),
                ),
            );
            (Some(path.to_owned()), None)
        }
    }
}

/// Those whose change is a change of the configuration.
fn files_named(raw: &Raw) -> Vec<PathBuf> {
    let shared = raw.shared_secrets.iter().flatten();
    let mut files: Vec<_> = shared.filter_map(|at| at.value.file.clone()).collect();
    if let Some(At { value: hook, .. }) = &raw.hook {
        files.extend(hook.ca_file.iter().chain(&hook.token_file).cloned());
    }
    if let Some(At { value: jwt, .. }) = &raw.jwt {
        files.extend(jwt.keys.iter().map(|one| one.file.clone()));
    }
    if let Some(At { value, .. }) = &raw.signaling {
        let routes = value.routes.iter();
        files.extend(routes.filter_map(|one| one.ca_file.clone()));
    }
    if let Some(At { value: api, .. }) = &raw.api {
        files.extend(api.keys.iter().map(|one| one.file.clone()));
    }
    files
}

/// One secret a line; the first one mints. Empty lines and `#` comments are skipped.
fn secret_file(raw: &mut Raw, faults: &mut Faults) {
    let Some(At { value: path, place }) = raw.secret_file.take() else {
        return;
    };
    let text = match text_of(&path) {
        Ok(text) => text,
        Err(wrong) => return faults.add(&place, wrong),
    };
    let secrets: Vec<_> = secrets_of(&text)
        .map(|secret| place.clone().of(secret))
        .collect();
    if secrets.is_empty() {
        let problem = format!("{} holds no secret", path.display());
        return faults.add(&place, Wrong::new(problem, "write one secret a line"));
    }
    raw.secrets.get_or_insert_default().extend(secrets);
}

pub(super) fn secrets_of(text: &str) -> impl Iterator<Item = Secret<String>> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| Secret::new(line.to_owned()))
}

/// Of a file that a key names.
pub(super) fn text_of(path: &Path) -> Result<String, Wrong> {
    read_text(path).map_err(|error| {
        let problem = format!("{} cannot be read ({})", path.display(), in_words(&error));
        Wrong::new(problem, readable(&error))
    })
}

/// A text file of a size that people write: `/dev/zero` and a disk image are refused instead of read to the last byte.
fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?
        .take(LARGEST_FILE + 1)
        .read_to_string(&mut text)?;
    if read as u64 > LARGEST_FILE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

fn readable(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "check the path",
        io::ErrorKind::PermissionDenied => {
            "make it readable for the user the relay runs as, or name another with --config"
        }
        io::ErrorKind::FileTooLarge => "name a text file of at most 4 MiB",
        _ => "make it a readable text file",
    }
}

#[cfg(test)]
pub(super) mod tests;
