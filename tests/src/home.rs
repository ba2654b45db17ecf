//! Where a relay keeps what outlives it: its socket, log, state and pins. Starts nothing.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::scratch;

/// A directory of its own; gone, pins included, when dropped.
#[derive(Debug)]
pub struct Home {
    /// Before the directory it is mounted in.
    pins: Option<Bpffs>,
    directory: tempfile::TempDir,
}

#[derive(Debug)]
struct Bpffs(PathBuf);

impl Home {
    /// For a relay whose sessions end with it.
    pub fn new() -> Result<Self> {
        let directory = scratch::folder("home")?;
        std::fs::set_permissions(
            directory.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o777),
        )?;
        let pins = None;
        Ok(Self { pins, directory })
    }

    /// For a relay whose sessions outlive it. Mounted here, because what is mounted in `ip netns exec` ends with it.
    pub fn surviving() -> Result<Self> {
        crate::residue::sweep();
        let mut home = Self::new()?;
        let path = home.path().join("bpf");
        std::fs::create_dir(&path)?;
        mount(
            Some("bpf"),
            &path,
            Some("bpf"),
            MsFlags::empty(),
            None::<&str>,
        )
        .context("mount a BPF file system")?;
        home.pins = Some(Bpffs(path));
        Ok(home)
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Where it pins; there only while it does.
    pub fn pins(&self) -> PathBuf {
        self.path().join("bpf/relay")
    }

    /// Names of what is pinned.
    pub fn pinned(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.pins()).into_iter().flatten();
        entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect()
    }

    /// What makes a relay live here.
    pub fn environment(&self) -> [(&'static str, OsString); 3] {
        [
            ("STATE_DIRECTORY", self.path().into()),
            ("RELAY_PIN_DIRECTORY", self.pins().into()),
            ("RELAY_SURVIVE", self.pins.is_some().to_string().into()),
        ]
    }
}

/// BPF file systems of homes whose process is gone, with what is pinned there.
pub fn stale() -> Vec<PathBuf> {
    mounted(|pid| !Path::new("/proc").join(pid).exists())
}

/// Removes them, and with that what is attached by their pins.
pub fn remove_stale() {
    stale().iter().for_each(|place| remove(place));
}

/// Removes what `pid` mounted, whether it still runs or not.
pub fn remove_of(pid: u32) {
    let pid = pid.to_string();
    mounted(|owner| owner == pid)
        .iter()
        .for_each(|place| remove(place));
}

fn mounted(of: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let ours = |place: &str| of(scratch::owner(place)?).then(|| PathBuf::from(place));
    mounts
        .lines()
        .filter_map(|line| ours(line.split(' ').nth(1)?))
        .collect()
}

fn remove(place: &Path) {
    let _ = umount2(place, MntFlags::MNT_DETACH);
}

impl Drop for Bpffs {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}
