//! Whose a certificate is and how long it lasts, in words. Trusts nothing: that is for the handshake.

use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

const DAY: i64 = 86_400;
/// Names that are listed.
const MOST: usize = 3;

pub fn facts(shown: &CertificateDer<'_>) -> String {
    let Ok((_, certificate)) = X509Certificate::from_der(shown) else {
        return "a certificate nobody can read".to_owned();
    };
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let names = alternatives.iter().flat_map(|all| &all.value.general_names);
    let names: Vec<_> = names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(*name),
            _ => None,
        })
        .take(MOST)
        .collect();
    let named = match names.is_empty() {
        true => "an address".to_owned(),
        false => names.join(", "),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_secs() as i64);
    let days = (certificate.validity().not_after.timestamp() - now) / DAY;
    format!("certificate of {named} for {days} more days")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_says_its_names_and_its_days() {
        let made = rcgen::generate_simple_self_signed(["relay.test".to_owned()]).unwrap();
        let said = facts(made.cert.der());
        assert!(said.starts_with("certificate of relay.test for "), "{said}");
        assert!(said.ends_with(" more days"), "{said}");
        let nothing = CertificateDer::from(vec![1, 2, 3]);
        assert!(facts(&nothing).contains("nobody can read"));
    }
}
