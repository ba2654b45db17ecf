//! What works between here and a relay, and what to ask the firewall's keeper for: `relay check`. A client like any other,
//! with [`crate::client`] below it; it needs no relay on this host, and is over in fifteen seconds whatever is blocked.

mod names;
mod prober;
mod subject;
mod wire;

mod certificate;
mod loss;
mod reach;
mod web;

mod choice;
mod report;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::client::request::Login;
use crate::client::secure::SecureServer;
use crate::mode::Mode;
pub use report::{Check, Choice, Loss, Opening, Report, Spread, State, Verdict};
use subject::Subject;

/// For its addresses; and where media has another name, for those.
const NAME: Duration = Duration::from_secs(2);
const SECOND_NAME: Duration = Duration::from_secs(1);

/// What to check, as whom.
#[derive(Debug, Clone)]
pub struct Question {
    /// An address or a name.
    pub host: String,
    pub tls_port: u16,
    pub udp_port: u16,
    pub tcp_port: u16,
    pub mode: Mode,
    pub tls: ClientConfig,
    /// In the relay's certificate.
    pub name: ServerName<'static>,
    pub proof: Proof,
}

#[derive(Debug, Clone)]
pub enum Proof {
    Nobody,
    Login(Login),
    Token(String),
}

/// `tell`: each check as soon as it is over.
pub async fn run(question: Question, tell: &dyn Fn(&Check)) -> Report {
    let began = Instant::now();
    let mut report = Report::new(&question);
    let (looked_up, mut addresses) = names::look_up(&question.host, NAME).await;
    report.add(looked_up, tell);
    if !addresses.is_empty() {
        let subject = Subject::learn(question, &mut report, tell).await;
        if subject.media_host != subject.question.host {
            let (looked_up, others) = names::look_up(&subject.media_host, SECOND_NAME).await;
            report.add(looked_up, tell);
            addresses = others;
        }
        examine(&subject, &addresses, &mut report, tell).await;
    }
    report.close(began.elapsed());
    report
}

async fn examine(
    subject: &Subject,
    addresses: &[IpAddr],
    report: &mut Report,
    tell: &dyn Fn(&Check),
) {
    let (reached, web) = tokio::join!(
        reach::every(subject, addresses, tell),
        web::both(subject, tell)
    );
    let ways = reach::best(&reached);
    for check in reached.into_iter().flat_map(|one| one.checks) {
        report.take(check);
    }
    web.into_iter().for_each(|check| report.take(check));
    // Alone: fifty packets of media size would be in the way of the others.
    if let Some((address, _)) = ways.udp {
        report.add(loss::measure(subject.udp_at(address)).await, tell);
    }
    report.transport = match &subject.login {
        Some(login) => choice::real(subject, login, &ways).await,
        // Whom the relay refuses, no way helps.
        None if report.by_the_relay() => None,
        None => choice::expected(subject.question.mode, &ways),
    };
}

impl Question {
    /// TLS at `address`, as this protocol.
    fn secure(&self, address: SocketAddr, alpn: &[u8]) -> SecureServer {
        let mut tls = self.tls.clone();
        tls.alpn_protocols = vec![alpn.to_vec()];
        SecureServer {
            address,
            name: self.name.clone(),
            tls: Arc::new(tls),
        }
    }
}
