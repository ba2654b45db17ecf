//! Where the relay listens and what it shows there: protocol, address and certificate, as texts.

use std::net::SocketAddr;

use super::{Read, socket_address, spread, without_protocol, wrong};
use crate::config::defaults::everywhere;
use crate::config::fault::At;
use crate::tls::CertificateFiles;

/// What the relay listens with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Udp,
    Tcp,
    Tls,
}

/// One text may stand for the addresses of both families.
pub type Listener = (Protocol, Vec<SocketAddr>);

impl Protocol {
    pub const ALL: [Protocol; 3] = [Protocol::Udp, Protocol::Tcp, Protocol::Tls];

    pub fn name(self) -> &'static str {
        match self {
            Protocol::Udp => "udp",
            Protocol::Tcp => "tcp",
            Protocol::Tls => "tls",
        }
    }
}

/// `ADDR:PORT` or a bare port, which means every address of both families. The protocol in front is welcome.
pub fn listen(text: &str, protocol: Protocol) -> Read<Vec<SocketAddr>> {
    let address = without_protocol(text, protocol)?;
    if let Ok(port) = address.parse::<u16>() {
        return Ok(everywhere(port).to_vec());
    }
    socket_address(address).map(|one| vec![one])
}

/// `udp/…`, `tcp/…` or `tls/…`; without any of them UDP.
pub fn listener(text: &str) -> Read<Listener> {
    let named = text.split_once('/').map_or("udp", |(name, _)| name.trim());
    let of_name = |protocol: &Protocol| protocol.name() == named;
    match Protocol::ALL.into_iter().find(of_name) {
        Some(protocol) => Ok((protocol, listen(text, protocol)?)),
        None => wrong(
            format!("{named:?} is not a protocol the relay listens with"),
            "write udp/…, tcp/… or tls/…",
        ),
    }
}

/// The addresses among `all` of one protocol. Together they say everything: a protocol that is not there is not wanted.
pub fn of_protocol(
    all: &Option<Vec<At<Listener>>>,
    protocol: Protocol,
) -> Option<Vec<At<SocketAddr>>> {
    let wanted = all.as_ref()?.iter().filter(|at| at.value.0 == protocol);
    let addresses = wanted.map(|at| at.place.clone().of(at.value.1.clone()));
    Some(spread(addresses.collect()))
}

/// `CERT:KEY`, two PEM files; or one that holds both.
pub fn certificate(text: &str) -> Read<CertificateFiles> {
    let (cert, key) = text.split_once(':').unwrap_or((text, text));
    if cert.is_empty() || key.is_empty() {
        let problem = format!("{text:?} does not name two files");
        return wrong(problem, "write CERT:KEY");
    }
    let (cert, key) = (cert.into(), key.into());
    Ok(CertificateFiles { cert, key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocol_in_front_decides_and_udp_needs_none() {
        let read = |text| listener(text).map(|(protocol, all)| (protocol.name(), all.len()));
        assert_eq!(read("127.0.0.1:0").unwrap(), ("udp", 1));
        assert_eq!(read("tcp/3478").unwrap(), ("tcp", 2));
        assert_eq!(read("tls/[::1]:443").unwrap(), ("tls", 1));
        assert!(read("sctp/1").unwrap_err().to_string().contains("sctp"));
        assert!(
            listen("tcp/1", Protocol::Tls)
                .unwrap_err()
                .to_string()
                .contains("write tls/")
        );
    }

    #[test]
    fn a_certificate_is_two_files_or_one_of_both() {
        let read = |text| certificate(text).map(|files| (files.cert, files.key));
        assert_eq!(read("a:b").unwrap(), ("a".into(), "b".into()));
        assert_eq!(read("both").unwrap(), ("both".into(), "both".into()));
        assert!(read(":b").is_err());
    }
}
