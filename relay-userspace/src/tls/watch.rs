//! Notices that certificate files changed: a few `stat` calls every five seconds cost nothing.

use std::time::Duration;

use super::{CertificateFiles, Certificates};
use crate::file_mark::FileMark;

const EVERY: Duration = Duration::from_secs(5);

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

fn marks(files: &[CertificateFiles]) -> Vec<FileMark> {
    let paths = files.iter().flat_map(|one| [&one.cert, &one.key]);
    paths.map(|path| FileMark::of(path)).collect()
}
