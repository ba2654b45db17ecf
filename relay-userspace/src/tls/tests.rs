//! Certificates as clients find them: by name, after a reload, after a bad one.

use std::path::Path;

use rcgen::generate_simple_self_signed;

use super::*;

/// A certificate for `names`, in files of that stem.
fn write(directory: &Path, stem: &str, names: &[&str]) -> (CertificateFiles, Vec<u8>) {
    let made = generate_simple_self_signed(Vec::from_iter(names.iter().map(|n| n.to_string())));
    let made = made.unwrap();
    let files = CertificateFiles {
        cert: directory.join(format!("{stem}.crt")),
        key: directory.join(format!("{stem}.key")),
    };
    std::fs::write(&files.cert, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    (files, made.cert.der().to_vec())
}

fn shown(certificates: &Certificates, name: Option<&str>) -> Vec<u8> {
    let names = certificates.inner.shown.names.read().unwrap();
    names.find(name).cert[0].to_vec()
}

#[test]
fn each_name_gets_its_certificate_and_strangers_the_first() {
    let directory = tempfile::tempdir().unwrap();
    let (a, of_a) = write(directory.path(), "a", &["a.example"]);
    let (b, of_b) = write(directory.path(), "b", &["B.example", "*.c.example"]);
    let certificates = Certificates::open(&[a, b]).unwrap();
    let all = [
        (Some("a.example"), &of_a),
        (Some("b.EXAMPLE"), &of_b),
        (Some("x.c.example"), &of_b),
        (Some("x.y.c.example"), &of_a),
        (Some("elsewhere"), &of_a),
        (None, &of_a),
    ];
    for (name, expected) in all {
        assert_eq!(&shown(&certificates, name), expected, "{name:?}");
    }
}

#[test]
fn a_bad_file_changes_nothing_and_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let (files, old) = write(directory.path(), "a", &["a.example"]);
    let certificates = Certificates::open(std::slice::from_ref(&files)).unwrap();
    let (other, _) = write(directory.path(), "b", &["b.example"]);
    let key = std::fs::read(&files.key).unwrap();
    let bad = |path: &Path, content: &[u8], expected: &str| {
        std::fs::write(path, content).unwrap();
        let told = certificates.reload().unwrap_err().to_string();
        let named = told.contains(&path.display().to_string());
        assert!(named && told.contains(expected), "{told}");
        assert_eq!(shown(&certificates, None), old);
    };
    bad(
        &files.key,
        &std::fs::read(&other.key).unwrap(),
        "do not fit",
    );
    bad(&files.key, b"nothing", "no private key");
    std::fs::write(&files.key, key).unwrap();
    bad(&files.cert, b"", "no certificate");
    let torn = b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n";
    bad(&files.cert, torn, "does not parse");
    std::fs::remove_file(&files.cert).unwrap();
    let told = certificates.reload().unwrap_err().to_string();
    assert!(told.contains("No such file"), "{told}");
    let (_, new) = write(directory.path(), "a", &["a.example"]);
    assert_eq!(certificates.reload().unwrap(), 1);
    assert_eq!(shown(&certificates, None), new);
}

#[test]
fn the_relays_own_certificate_is_made_once_and_private() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("made");
    let path = own::kept_in(&directory).unwrap();
    let first = std::fs::read(&path).unwrap();
    assert_eq!(
        std::fs::read(own::kept_in(&directory).unwrap()).unwrap(),
        first
    );
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
    let files = CertificateFiles {
        cert: path.clone(),
        key: path,
    };
    Certificates::open(&[files]).unwrap();
    Certificates::open(&[]).unwrap();
}
