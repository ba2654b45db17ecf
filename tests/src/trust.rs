//! A certificate for servers of the lab, and clients that trust it alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};

const NAME: &str = "relay.test";

/// Dropping it removes the files.
pub struct Trust {
    folder: tempfile::TempDir,
    config: Arc<ClientConfig>,
}

impl Trust {
    pub fn new() -> Result<Trust> {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned(), "127.0.0.1".to_owned()])?;
        let folder = crate::scratch::folder("trust")?;
        std::fs::write(folder.path().join("cert.pem"), made.cert.pem())?;
        let key = made.signing_key.serialize_pem();
        std::fs::write(folder.path().join("key.pem"), key)?;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone())?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let config = Arc::new(config);
        Ok(Trust { folder, config })
    }

    pub fn cert(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    pub fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    /// Both, as `--certificate` takes them.
    pub fn argument(&self) -> String {
        format!("{}:{}", self.cert().display(), self.key().display())
    }

    /// Where both are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Of a server that shows the certificate.
    pub fn server(&self) -> Result<Arc<ServerConfig>> {
        let chain = CertificateDer::pem_file_iter(self.cert())?.collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_file(self.key())?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Ok(Arc::new(config))
    }

    /// One that has not begun.
    pub fn client(&self) -> Result<ClientConnection> {
        let name = ServerName::try_from(NAME)?;
        ClientConnection::new(Arc::clone(&self.config), name).context("set up TLS")
    }
}
