//! What is allowed, but hardly meant: secrets that others can read, misspelt variables. Refuses nothing.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::env;
use super::fault::Wrong;

/// Variables of this prefix are ours.
const PREFIX: &str = "RELAY_";
/// Read elsewhere than in the configuration: by the command line and by the tests.
const ELSEWHERE: [&str; 4] = [
    "RELAY_CONFIG",
    "RELAY_BIN",
    "RELAY_BLESS",
    "RELAY_REQUIRE_PRIVILEGED",
];
/// Kubernetes sets these for a service called relay.
const OF_KUBERNETES: [&str; 2] = ["RELAY_SERVICE_", "RELAY_PORT_"];
/// Readable or writable for anyone.
const OTHERS: u32 = 0o006;
/// More different letters than this are another word.
const MISSPELT: usize = 4;

/// A warning if `path`, which holds secrets, is open to every user of the host.
pub fn open_to_others(path: &Path) -> Option<Wrong> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    (mode & OTHERS != 0).then(|| {
        let path = path.display();
        let problem = format!(
            "{path} holds secrets and is open to every user (mode {:o})",
            mode & 0o777
        );
        Wrong::new(problem, format!("chmod o= {path}"))
    })
}

/// A warning for each of `names` that looks like ours and is not.
pub fn unknown_variables(names: impl Iterator<Item = String>) -> Vec<Wrong> {
    let known = || env::NAMES.iter().chain(&ELSEWHERE).copied();
    let ours = |name: &String| {
        name.starts_with(PREFIX) && !OF_KUBERNETES.iter().any(|start| name.starts_with(start))
    };
    let mut unknown: Vec<_> = names
        .filter(|name| ours(name) && known().all(|known| known != name))
        .collect();
    unknown.sort();
    let warning = |name: String| {
        let nearest = known().min_by_key(|known| distance(known, &name));
        let meant = nearest.filter(|known| distance(known, &name) <= MISSPELT);
        let remedy = meant.map_or("docs/config.md lists them".to_owned(), |known| {
            format!("is {known} meant?")
        });
        Wrong::new(
            format!("environment variable {name} is not known and does nothing"),
            remedy,
        )
    };
    unknown.into_iter().map(warning).collect()
}

/// Letters to add, drop or change (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, right) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// An error of the system without its number: it stands in brackets of its own.
pub fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::super::Faults;
    use super::*;

    #[test]
    fn every_variable_that_is_read_is_known() {
        let asked = RefCell::new(Vec::new());
        let environment = |name: &str| {
            asked.borrow_mut().push(name.to_owned());
            None
        };
        env::read(&environment, &mut Faults::default());
        let mut asked = asked.into_inner();
        let mut known: Vec<_> = env::NAMES.to_vec();
        asked.sort();
        known.sort_unstable();
        assert_eq!(asked, known);
    }

    #[test]
    fn a_misspelt_variable_is_told_with_what_was_meant() {
        let names = [
            "RELAY_LISTNE",
            "RELAY_SECRET",
            "PATH",
            "RELAY_CONFIG",
            "RELAY_SERVICE_HOST",
            "RELAY_SOMETHING_ELSE",
        ];
        assert_eq!(
            unknown_variables(names.into_iter().map(str::to_owned))
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
            [
                "environment variable RELAY_LISTNE is not known and does nothing: is RELAY_LISTEN meant?",
                "environment variable RELAY_SOMETHING_ELSE is not known and does nothing: docs/config.md lists them",
            ]
        );
    }

    #[test]
    fn a_secret_everyone_can_read_is_told_and_one_of_a_group_is_not() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let warned = |mode| {
            std::fs::set_permissions(file.path(), PermissionsExt::from_mode(mode)).unwrap();
            open_to_others(file.path()).map(|wrong| wrong.to_string())
        };
        assert_eq!(warned(0o640), None);
        assert!(warned(0o644).unwrap().contains("(mode 644): chmod o= "));
    }

    #[test]
    fn an_error_of_the_system_brings_no_brackets() {
        let error = io::Error::from_raw_os_error(2);
        assert_eq!(in_words(&error), "No such file or directory");
        assert_eq!(in_words(&io::Error::other("plain")), "plain");
    }
}
