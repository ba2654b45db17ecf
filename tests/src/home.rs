//! Where a relay keeps what outlives it: its socket, log, state and pins. Starts nothing.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

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
        let directory = tempfile::tempdir()?;
        std::fs::set_permissions(
            directory.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o777),
        )?;
        let pins = None;
        Ok(Self { pins, directory })
    }

    /// For a relay whose sessions outlive it. Mounted here, because what is mounted in `ip netns exec` ends with it.
    pub fn surviving() -> Result<Self> {
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

impl Drop for Bpffs {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}
