//! Files that are made once, private to the relay, and then only read: a second relay that starts at the same moment finds
//! the first one's whole.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Makes `path` with what `content` says, unless it is there.
pub fn ensure(path: &Path, content: impl FnOnce() -> io::Result<Vec<u8>>) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidFilename.into());
    };
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(directory)?;
    let name = name.to_string_lossy();
    let draft = directory.join(format!(".{name}.{}", std::process::id()));
    let result = write(&draft, content).and_then(|()| {
        // Linking fails when another relay was faster; its file counts.
        match std::fs::hard_link(&draft, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    });
    let _ = std::fs::remove_file(&draft);
    result
}

fn write(draft: &Path, content: impl FnOnce() -> io::Result<Vec<u8>>) -> io::Result<()> {
    let _ = std::fs::remove_file(draft);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(draft)?;
    file.write_all(&content()?)?;
    file.sync_all()
}
