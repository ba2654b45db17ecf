//! Notices that certificate files changed. Looks instead of listening: renewers swap links and directories, and file
//! systems of containers and networks tell nobody; a few `stat` calls every five seconds cost nothing.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use super::{CertificateFiles, Certificates};

const EVERY: Duration = Duration::from_secs(5);

/// What tells one content of a file from the next; `None`: it is not there.
type Mark = Option<(u64, u64, i64, i64)>;

impl Certificates {
    /// Reloads whenever a file changed. Never ends.
    pub async fn watch(self) {
        let mut seen = marks(&self.files());
        loop {
            tokio::time::sleep(EVERY).await;
            let now = marks(&self.files());
            if now == seen {
                continue;
            }
            match self.reload() {
                Ok(count) => tracing::info!(count, "certificates changed and are in use"),
                Err(fault) => {
                    tracing::warn!(%fault, "certificates changed, the old ones stay in use");
                }
            }
            seen = now;
        }
    }
}

fn marks(files: &[CertificateFiles]) -> Vec<Mark> {
    let paths = files.iter().flat_map(|one| [&one.cert, &one.key]);
    paths.map(|path| mark(path)).collect()
}

fn mark(path: &Path) -> Mark {
    let data = std::fs::metadata(path).ok()?;
    Some((data.ino(), data.len(), data.mtime(), data.mtime_nsec()))
}
