//! An issuer of tokens for the lab: its part of a relay's configuration, and tokens it signs (RFC 7519, HS256).

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// Dropping it removes its files.
pub struct Issuer {
    configuration: String,
    _folder: tempfile::TempDir,
}

impl Issuer {
    /// With `more` behind its own part of the configuration.
    pub fn new(more: &str) -> Result<Issuer> {
        let folder = crate::scratch::folder("issuer")?;
        let key = folder.path().join("key");
        std::fs::write(&key, KEY)?;
        let key = key.display().to_string();
        let configuration = format!(
            "[auth]\nsecrets = [\"of the lab\"]\n[auth.jwt]\nissuer = \"lab\"\n\
             [[auth.jwt.keys]]\nkid = \"lab\"\nalgorithm = \"HS256\"\nfile = {key:?}\n{more}\n"
        );
        Ok(Issuer {
            configuration,
            _folder: folder,
        })
    }

    /// Of a relay that trusts it.
    pub fn configuration(&self) -> &str {
        &self.configuration
    }

    /// For `ann`, ten minutes, with these claims instead of the usual ones.
    pub fn token(&self, claims: &Value) -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let mut body =
            json!({"iss": "lab", "aud": "relay", "exp": now + 600, "sub": "ann", "scope": "ice"});
        if let (Some(body), Some(claims)) = (body.as_object_mut(), claims.as_object()) {
            body.extend(claims.clone());
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let head = json!({"alg": "HS256", "kid": "lab"});
        let text = format!("{}.{}", part(&head), part(&body));
        let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes())?;
        mac.update(text.as_bytes());
        let proof = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        Ok(format!("{text}.{proof}"))
    }
}
