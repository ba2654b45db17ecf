//! The relay that is checked: where its media and its web are, and who asks. A token is turned into a login here.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustls::pki_types::ServerName;

use super::report::{Check, Report};
use super::{Proof, Question};
use crate::client::ice::{Granted, IceApi, IceFault};
use crate::client::request::Login;
use crate::client::secure::SecureServer;

/// For the API's answer.
const GRANT: Duration = Duration::from_secs(2);

/// Where media goes, and as whom: what was asked for, or what the relay's API said.
pub struct Subject {
    pub question: Question,
    pub login: Option<Login>,
    /// In the certificate of its TLS.
    name: ServerName<'static>,
    pub media_host: String,
    udp_port: u16,
    tls_port: u16,
}

impl Subject {
    /// With a token the relay says where it is to be reached.
    pub async fn learn(question: Question, report: &mut Report, tell: &dyn Fn(&Check)) -> Self {
        let mut subject = Subject {
            login: None,
            name: question.name.clone(),
            media_host: question.host.clone(),
            udp_port: question.udp_port,
            tls_port: question.tls_port,
            question,
        };
        match subject.question.proof.clone() {
            Proof::Nobody => {}
            Proof::Login(login) => subject.login = Some(login),
            Proof::Token(token) => report.add(subject.redeem(&token).await, tell),
        }
        subject
    }

    async fn redeem(&mut self, token: &str) -> Check {
        let Question {
            host,
            tls_port,
            tls,
            name,
            mode,
            ..
        } = self.question.clone();
        let check = Check::of("credential", &host);
        let granted = match IceApi::new(&host, tls_port, tls, name) {
            Ok(api) => api.ask(token, mode, GRANT).await,
            Err(fault) => Err(fault),
        };
        match granted {
            Ok(granted) => {
                let found = format!("granted for {} s", granted.ttl.as_secs());
                self.follow(granted);
                check.works(found)
            }
            Err(fault @ IceFault::Refused { .. }) => check.refused(fault),
            Err(fault) => check.fails(fault),
        }
    }

    fn follow(&mut self, granted: Granted) {
        let place = granted.udp.as_ref().or(granted.tls.as_ref());
        let host = place.map(|place| place.host.clone());
        if let Some(host) = host.filter(|host| *host != self.media_host) {
            // A name that was given with --tls-name is for both.
            let usual = ServerName::try_from(self.question.host.clone()).ok();
            if usual.as_ref() == Some(&self.name)
                && let Ok(name) = ServerName::try_from(host.clone())
            {
                self.name = name;
            }
            self.media_host = host;
        }
        self.udp_port = granted.udp.map_or(self.udp_port, |place| place.port);
        self.tls_port = granted.tls.map_or(self.tls_port, |place| place.port);
        self.login = Some(granted.login);
    }

    pub fn udp_at(&self, address: IpAddr) -> SocketAddr {
        SocketAddr::new(address, self.udp_port)
    }

    pub fn tcp_at(&self, address: IpAddr) -> SocketAddr {
        SocketAddr::new(address, self.question.tcp_port)
    }

    /// For TURN.
    pub fn secure_at(&self, address: IpAddr) -> SecureServer {
        let address = SocketAddr::new(address, self.tls_port);
        SecureServer {
            name: self.name.clone(),
            ..self.question.secure(address, b"stun.turn")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ice::Place;
    use crate::https::client_config;
    use crate::mode::Mode;

    fn subject(name: &'static str) -> Subject {
        let name = ServerName::try_from(name).unwrap();
        let question = Question {
            host: "signaling.test".to_owned(),
            tls_port: 443,
            udp_port: 3478,
            tcp_port: 3478,
            mode: Mode::default(),
            tls: client_config(rustls::RootCertStore::empty()).unwrap(),
            name: name.clone(),
            proof: Proof::Nobody,
        };
        Subject {
            login: None,
            name,
            media_host: question.host.clone(),
            udp_port: question.udp_port,
            tls_port: question.tls_port,
            question,
        }
    }

    fn granted(host: &str) -> Granted {
        let at = |port| {
            Some(Place {
                host: host.to_owned(),
                port,
            })
        };
        Granted {
            login: Login::new("1:ann", "secret"),
            udp: at(1000),
            tcp: None,
            tls: at(2000),
            ttl: Duration::from_secs(60),
        }
    }

    #[test]
    fn media_is_checked_where_the_api_says_and_the_web_where_it_was_asked() {
        for (given, expected) in [
            ("signaling.test", "media.test"),
            ("given.test", "given.test"),
        ] {
            let mut subject = subject(given);
            subject.follow(granted("media.test"));
            assert_eq!(subject.media_host, "media.test");
            assert_eq!((subject.udp_port, subject.tls_port), (1000, 2000));
            assert_eq!(subject.name, ServerName::try_from(expected).unwrap());
            assert_eq!(subject.question.tls_port, 443);
            assert_eq!(subject.question.name, ServerName::try_from(given).unwrap());
        }
    }
}
