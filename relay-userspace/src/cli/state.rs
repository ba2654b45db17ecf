//! The generated secret of a relay nobody configured: made once, kept private in the state directory.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::config::warning::in_words;
use crate::config::{Auth, Config, defaults};
use crate::kept;
use crate::secret::Secret;
use crate::tls::{CertificateFiles, own};

#[derive(Debug, PartialEq, Eq)]
pub enum Generated {
    /// Secrets or users are configured: nothing was needed.
    No,
    Kept,
    /// Not kept, for this reason: credentials end with this process.
    InMemory(String),
}

/// Gives `auth` a secret when it has neither secrets nor users.
pub fn ensure_secret(auth: &mut Auth) -> io::Result<Generated> {
    ensure_secret_in(auth, defaults::state_directory().as_deref())
}

fn ensure_secret_in(auth: &mut Auth, directory: Option<&Path>) -> io::Result<Generated> {
    if !auth.is_empty() {
        return Ok(Generated::No);
    }
    let kept = match directory {
        Some(directory) => {
            kept_secret(directory).map_err(|error| {
                format!(
                    "{}: {}; make it writable, set XDG_STATE_HOME, or give --secret-file",
                    directory.display(),
                    in_words(&error)
                )
            })
        }
        None => Err(
            "no state directory: set STATE_DIRECTORY, XDG_STATE_HOME or HOME, or give --secret-file"
                .to_owned(),
        ),
    };
    let (secret, generated) = match kept {
        Ok(secret) => (secret, Generated::Kept),
        Err(why) => (fresh()?, Generated::InMemory(why)),
    };
    auth.secrets.push(Secret::new(secret));
    Ok(generated)
}

/// Gives a relay that speaks TLS a certificate when none is configured. Where it is, or why it cannot be kept.
pub fn ensure_certificate(config: &mut Config) -> Result<Option<PathBuf>, String> {
    let listen = &config.listen;
    let unused = listen.tcp.is_empty() && listen.tls.is_empty();
    if unused || !config.tls.certificates.is_empty() {
        return Ok(None);
    }
    let directory = defaults::state_directory();
    let directory = directory.ok_or("no state directory: set STATE_DIRECTORY")?;
    let path = own::kept_in(&directory)
        .map_err(|error| format!("{}: {}", directory.display(), in_words(&error)))?;
    config.tls.certificates.push(CertificateFiles {
        cert: path.clone(),
        key: path.clone(),
    });
    Ok(Some(path))
}

fn kept_secret(directory: &Path) -> io::Result<String> {
    let path = directory.join("secret");
    kept::ensure(&path, || Ok(format!("{}\n", fresh()?).into_bytes()))?;
    read(&path)
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(4096).read_to_string(&mut text)?;
    match text.trim() {
        "" => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the file `secret` is empty: remove it",
        )),
        secret => Ok(secret.to_owned()),
    }
}

fn fresh() -> io::Result<String> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::Config;

    fn ensure(directory: Option<&Path>) -> (Generated, String) {
        let mut auth = Config::default().auth;
        let generated = ensure_secret_in(&mut auth, directory).unwrap();
        (generated, auth.secrets[0].expose().clone())
    }

    #[test]
    fn a_generated_secret_survives_a_restart_and_is_private() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("relay");
        let (first, secret) = ensure(Some(&directory));
        assert_eq!((first, secret.len()), (Generated::Kept, 64));
        assert_eq!(ensure(Some(&directory)), (Generated::Kept, secret));
        let mode = std::fs::metadata(directory.join("secret"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
    }

    #[test]
    fn without_a_place_to_keep_it_the_secret_lives_in_memory() {
        let blocked = tempfile::NamedTempFile::new().unwrap();
        let (generated, secret) = ensure(Some(&blocked.path().join("relay")));
        assert!(matches!(generated, Generated::InMemory(_)), "{generated:?}");
        assert_eq!(secret.len(), 64);
    }

    #[test]
    fn configured_users_need_no_secret() {
        let mut auth = Config::default().auth;
        auth.users.push(crate::config::User {
            name: "a".to_owned(),
            password: Secret::new("b".to_owned()),
        });
        assert_eq!(ensure_secret_in(&mut auth, None).unwrap(), Generated::No);
        assert!(auth.secrets.is_empty());
    }
}
