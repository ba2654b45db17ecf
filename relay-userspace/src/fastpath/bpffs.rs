//! A directory on a BPF file system, made and mounted as far as needed. Pins nothing itself.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

/// Where the system keeps its own; nothing can be made below it before it is mounted.
const SYSTEM: &str = "/sys/fs/bpf";

/// Makes `directory`, on a BPF file system. One that is not there is mounted: the system's where it belongs, any other
/// at `directory` itself.
pub fn ensure(directory: &Path) -> io::Result<()> {
    if is_on_bpffs(directory)? {
        return make(directory);
    }
    if directory.starts_with(SYSTEM) {
        mount_at(Path::new(SYSTEM))?;
        return make(directory);
    }
    make(directory)?;
    mount_at(directory)
}

/// Judged by the nearest ancestor there is.
fn is_on_bpffs(directory: &Path) -> io::Result<bool> {
    for ancestor in directory.ancestors() {
        match statfs(ancestor) {
            Ok(found) => return Ok(found.filesystem_type() == BPF_FS_MAGIC),
            Err(nix::errno::Errno::ENOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

fn make(directory: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}

fn mount_at(directory: &Path) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(
        Some("bpf"),
        directory,
        Some("bpf"),
        flags,
        Some("mode=0700"),
    )?;
    Ok(())
}
