//! Which certificate is shown to whom: the one that has the name asked for, else the first. Judges no certificate.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::sign::CertifiedKey;
use webpki::EndEntityCert;

#[derive(Debug)]
pub struct Names {
    /// Lower case; a wildcard with its star.
    by_name: HashMap<String, Arc<CertifiedKey>>,
    first: Arc<CertifiedKey>,
}

impl Names {
    /// Of a name that several have, the first one's. There is at least one certificate.
    pub fn of(certificates: impl IntoIterator<Item = Arc<CertifiedKey>>) -> Names {
        let mut by_name = HashMap::new();
        let mut first = None;
        for certificate in certificates {
            let end_entity = certificate.end_entity_cert().ok();
            let parsed = end_entity.and_then(|der| EndEntityCert::try_from(der).ok());
            for name in parsed
                .iter()
                .flat_map(|certificate| certificate.valid_dns_names())
            {
                let name = name.to_ascii_lowercase();
                let place = by_name.entry(name);
                place.or_insert_with(|| Arc::clone(&certificate));
            }
            first.get_or_insert(certificate);
        }
        Names {
            by_name,
            first: first.expect("at least one certificate"),
        }
    }

    pub fn find(&self, wanted: Option<&str>) -> Arc<CertifiedKey> {
        let found = wanted.and_then(|wanted| {
            let wanted = wanted.to_ascii_lowercase();
            // A star stands for one whole label (RFC 6125 §6.4.3).
            let starred = || {
                let (_, parent) = wanted.split_once('.')?;
                self.by_name.get(&format!("*.{parent}"))
            };
            self.by_name.get(&wanted).or_else(starred)
        });
        Arc::clone(found.unwrap_or(&self.first))
    }
}
