//! Folders of the lab whose files nobody keeps: removed with their owner, or by the next lab if that was killed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

/// Every folder is called `relay-lab-PID-LABEL-…`, so that those of a killed process can be told.
const PREFIX: &str = "relay-lab-";

pub fn folder(label: &str) -> Result<TempDir> {
    let prefix = format!("{PREFIX}{}-{label}-", std::process::id());
    let made = tempfile::Builder::new().prefix(&prefix).tempdir();
    made.context("make a folder for temporary files")
}

/// The process that made the folder which is, or holds, `path`.
pub fn owner(path: &str) -> Option<&str> {
    let pid = path.split_once(PREFIX)?.1.split('-').next()?;
    let is_number = !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(pid)
}

/// Folders whose process is gone. A number that another process has by now keeps them.
pub fn stale() -> Vec<PathBuf> {
    made_by(|pid| !Path::new("/proc").join(pid).exists())
}

/// Removes them. What is mounted there has to be gone before.
pub fn remove_stale() {
    stale().iter().for_each(|folder| remove(folder));
}

/// Removes what `pid` made, whether it still runs or not.
pub fn remove_of(pid: u32) {
    let pid = pid.to_string();
    made_by(|owner| owner == pid)
        .iter()
        .for_each(|folder| remove(folder));
}

fn made_by(of: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(std::env::temp_dir()).into_iter();
    let folders = entries.flatten().flatten().filter(|entry| {
        let name = entry.file_name();
        let name = name.to_str().filter(|name| name.starts_with(PREFIX));
        name.and_then(owner).is_some_and(&of)
    });
    folders.map(|entry| entry.path()).collect()
}

fn remove(folder: &Path) {
    // Another lab may be doing the same.
    let _ = std::fs::remove_dir_all(folder);
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn folders_of_the_dead_are_swept_and_those_of_the_living_are_not() {
        let mut ended = Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        let mine = folder("mine").unwrap();
        let named = |pid: &str| {
            let folder = std::env::temp_dir().join(format!("{PREFIX}{pid}-swept-test"));
            std::fs::create_dir_all(folder.join("within")).unwrap();
            std::fs::write(folder.join("within/file"), "left").unwrap();
            folder
        };
        let (dead, first, nobodys) = (named(&ended.id().to_string()), named("1"), named("no"));
        assert!(stale().contains(&dead));
        remove_stale();
        assert!(!dead.exists());
        for kept in [mine.path(), &first, &nobodys] {
            assert!(kept.exists(), "{}", kept.display());
        }
        remove_of(1);
        assert!(!first.exists() && nobodys.exists());
        remove(&nobodys);
    }

    #[test]
    fn the_owner_is_read_from_anything_within_its_folder() {
        assert_eq!(owner("/tmp/relay-lab-71-home-x1/bpf"), Some("71"));
        for other in ["/tmp/relay-lab--home", "/tmp/relay-lab-7x-home", "/tmp"] {
            assert_eq!(owner(other), None);
        }
    }
}
