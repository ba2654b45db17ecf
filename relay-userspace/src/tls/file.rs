//! One certificate with its key, from its files. Every fault names the file.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::{CertificateFiles, TlsFault};

/// A chain of many long certificates.
const LARGEST: u64 = 1 << 20;

pub fn read(files: &CertificateFiles) -> Result<Arc<CertifiedKey>, TlsFault> {
    let chain = bytes(&files.cert)?;
    let chain = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| malformed(&files.cert, &error))?;
    if chain.is_empty() {
        return Err(TlsFault::NoCertificate(files.cert.clone()));
    }
    let key = PrivateKeyDer::from_pem_slice(&bytes(&files.key)?);
    let key = key.map_err(|error| match error {
        pem::Error::NoItemsFound => TlsFault::NoKey(files.key.clone()),
        error => malformed(&files.key, &error),
    })?;
    certified(chain, key).map_err(|source| TlsFault::Unfit {
        files: files.clone(),
        source,
    })
}

/// Fails when the key is not that of the certificate.
pub fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<CertifiedKey>, rustls::Error> {
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map(Arc::new)
}

fn bytes(path: &Path) -> Result<Vec<u8>, TlsFault> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut bytes));
    read.map_err(|source| TlsFault::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(bytes)
}

fn malformed(path: &Path, error: &pem::Error) -> TlsFault {
    TlsFault::Malformed {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}
