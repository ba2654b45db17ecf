//! The certificates the relay shows, by the name a client asks for; replaced while connections go on. Opens no socket.

mod file;
mod names;
pub mod own;
mod watch;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::stream::opening::ALPN;
use names::Names;

/// A chain and its key, PEM each; one file may hold both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// Names the file, and what is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    #[error("read {}: {source}", .path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} holds no certificate: write the chain as PEM, the relay's own first", .0.display())]
    NoCertificate(PathBuf),
    #[error("{} holds no private key: write it as PEM (PKCS#8, PKCS#1 or SEC1), without a passphrase", .0.display())]
    NoKey(PathBuf),
    #[error("{} does not parse: {reason}", .path.display())]
    Malformed { path: PathBuf, reason: String },
    #[error("{} and {} do not fit: {source}", .files.cert.display(), .files.key.display())]
    Unfit {
        files: CertificateFiles,
        source: rustls::Error,
    },
    #[error("make a certificate: {0}")]
    Make(rcgen::Error),
    #[error("set up TLS: {0}")]
    Setup(rustls::Error),
}

/// A handle; clones are the same certificates.
#[derive(Clone)]
pub struct Certificates {
    inner: Arc<Inner>,
}

struct Inner {
    shown: Arc<Shown>,
    config: Arc<ServerConfig>,
}

/// What handshakes find, at any moment one whole set.
#[derive(Debug)]
struct Shown {
    names: RwLock<Arc<Names>>,
    files: RwLock<Vec<CertificateFiles>>,
}

impl Certificates {
    /// Without files: one made for this process alone.
    pub fn open(files: &[CertificateFiles]) -> Result<Certificates, TlsFault> {
        let names = match files {
            [] => Names::of([own::in_memory()?]),
            files => read(files)?,
        };
        let shown = Arc::new(Shown {
            names: RwLock::new(Arc::new(names)),
            files: RwLock::new(files.to_vec()),
        });
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(TlsFault::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&shown) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
        // Clients that come back after a break need no signature, on whichever worker they land.
        config.ticketer = ring::Ticketer::new().map_err(TlsFault::Setup)?;
        config.send_tls13_tickets = 1;
        let config = Arc::new(config);
        let inner = Arc::new(Inner { shown, config });
        Ok(Certificates { inner })
    }

    /// For one connection. The certificate is chosen during its handshake.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.inner.config)
    }

    /// Reads the files again. All of them are good, or nothing changes. Returns how many certificates there are.
    pub fn reload(&self) -> Result<usize, TlsFault> {
        let files = self.files();
        self.replace(&files)
    }

    /// The same from other files.
    pub fn replace(&self, files: &[CertificateFiles]) -> Result<usize, TlsFault> {
        let shown = &self.inner.shown;
        if files.is_empty() {
            return Ok(1);
        }
        let names = Arc::new(read(files)?);
        *shown.names.write().unwrap_or_else(PoisonError::into_inner) = names;
        *shown.files.write().unwrap_or_else(PoisonError::into_inner) = files.to_vec();
        Ok(files.len())
    }

    fn files(&self) -> Vec<CertificateFiles> {
        let files = &self.inner.shown.files;
        files.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificates").field(&self.files()).finish()
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        Some(names.find(hello.server_name()))
    }
}

fn read(files: &[CertificateFiles]) -> Result<Names, TlsFault> {
    let all: Vec<_> = files.iter().map(file::read).collect::<Result<_, _>>()?;
    Ok(Names::of(all))
}

#[cfg(test)]
mod tests;
