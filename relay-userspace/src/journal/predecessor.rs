//! The journal older relays kept beside ours, a `redb` file: recognised, never read.

use std::path::Path;

use super::StoreFault;

/// Removes it, and says so. An older relay that still runs keeps it.
pub fn retire(path: &Path) -> Result<(), StoreFault> {
    if remove(path)? {
        tracing::warn!(
            path = %path.with_extension(EXTENSION).display(),
            "the journal of an older relay, which this one cannot read: every session starts anew"
        );
    }
    Ok(())
}

/// True if there was one.
pub fn remove(path: &Path) -> Result<bool, StoreFault> {
    super::remove_one(&path.with_extension(EXTENSION))
}

const EXTENSION: &str = "redb";
