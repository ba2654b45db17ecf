//! A certificate nobody else signed, for a relay nobody gave one: clients have to be told to trust it. Kept where the
//! generated secret is.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, CertifiedKey as Made, DnType, KeyPair};
use rustls::sign::CertifiedKey;

use super::{CertificateFiles, TlsFault, file};
use crate::kept;

const FILE: &str = "certificate.pem";
const NAMES: [&str; 2] = ["relay.invalid", "localhost"];

/// The one kept in `directory`, made when there is none.
pub fn kept_in(directory: &Path) -> io::Result<PathBuf> {
    let path = directory.join(FILE);
    let files = CertificateFiles {
        cert: path.clone(),
        key: path.clone(),
    };
    kept::ensure(&path, || {
        let made = make().map_err(io::Error::other)?;
        let key = made.signing_key.serialize_pem();
        Ok([key, made.cert.pem()].concat().into_bytes())
    })?;
    file::read(&files).map_err(io::Error::other)?;
    Ok(path)
}

/// One that ends with the process.
pub fn in_memory() -> Result<Arc<CertifiedKey>, TlsFault> {
    let made = make().map_err(TlsFault::Make)?;
    let key = made.signing_key.serialize_der();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key);
    file::certified(vec![made.cert.der().clone()], key.into()).map_err(TlsFault::Setup)
}

fn make() -> Result<Made<KeyPair>, rcgen::Error> {
    let signing_key = KeyPair::generate()?;
    let mut params = CertificateParams::new(NAMES.map(str::to_owned))?;
    let name = &mut params.distinguished_name;
    name.push(DnType::CommonName, "relay, self-signed");
    let cert = params.self_signed(&signing_key)?;
    Ok(Made { cert, signing_key })
}
