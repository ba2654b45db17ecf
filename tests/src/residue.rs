//! What the lab may never leave behind on a machine, looked for by its names and places, and removed where its lab is dead.

use std::fs;
use std::path::Path;

use crate::privileged::target_directory;

/// Removes what labs left that were killed, if they were.
pub fn sweep() {
    crate::netns::remove_stale();
    // Before the folders it is mounted in.
    crate::home::remove_stale();
    crate::scratch::remove_stale();
}

/// Removes what `pid` made, whether it still runs or not.
pub fn sweep_of(pid: u32) {
    crate::netns::remove_of(pid);
    crate::home::remove_of(pid);
    crate::scratch::remove_of(pid);
}

/// Everything left over, one line a thing; empty on a clean machine. Labs that still run do not count.
pub fn find() -> Vec<String> {
    [namespaces(), processes(), interfaces(), pins()].concat()
}

/// Namespaces whose lab is gone.
fn namespaces() -> Vec<String> {
    crate::netns::stale()
        .iter()
        .map(|name| format!("namespace {name}"))
        .collect()
}

/// Commands of this tree whose parent is gone.
fn processes() -> Vec<String> {
    let target = target_directory().canonicalize().unwrap_or_default();
    let orphan = |pid: &str| {
        let process = Path::new("/proc").join(pid);
        let program = fs::read_link(process.join("exe")).ok()?;
        let status = fs::read_to_string(process.join("status")).ok()?;
        let parent = status
            .lines()
            .find_map(|line| line.strip_prefix("PPid:"))?
            .trim();
        let ours = program.starts_with(&target) && program.ends_with("relay");
        (ours && parent == "1").then(|| format!("process {pid}: {}", program.display()))
    };
    names("/proc")
        .iter()
        .filter(|name| name.bytes().all(|b| b.is_ascii_digit()))
        .filter_map(|pid| orphan(pid))
        .collect()
}

/// Cards of the lab outside its namespaces.
fn interfaces() -> Vec<String> {
    use crate::topology::{CLIENT_CARD, SERVER_CARD};
    let lab = [CLIENT_CARD, SERVER_CARD, crate::lab::video_call::CARD];
    let names = names("/sys/class/net")
        .into_iter()
        .filter(|name| lab.contains(&name.as_str()));
    names.map(|name| format!("interface {name}")).collect()
}

/// Pinned BPF objects of the relay.
fn pins() -> Vec<String> {
    let names = names("/sys/fs/bpf")
        .into_iter()
        .filter(|name| name.starts_with("relay"));
    let system = names.map(|name| format!("pin /sys/fs/bpf/{name}"));
    let homes = crate::home::stale();
    let homes = homes
        .iter()
        .map(|place| format!("pins at {}", place.display()));
    system.chain(homes).collect()
}

fn names(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}
