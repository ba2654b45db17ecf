//! UDP, TCP and TLS to the ports of TURN, of each address: does anything answer, how fast, and may this user allocate.

use std::fmt::Display;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::certificate;
use super::prober::{Prober, Silence};
use super::report::{Check, Opening, Spread};
use super::subject::Subject;
use super::wire::Wire;
use crate::mode::Leg;

/// For all of one way but its allocation.
const LONGEST: Duration = Duration::from_secs(3);
const CONNECT: Duration = Duration::from_millis(2500);
const ALLOCATE: Duration = Duration::from_millis(1200);

/// What came of one address.
pub struct Reached {
    address: IpAddr,
    pub checks: Vec<Check>,
    udp: Option<Spread>,
    tls: Option<(Duration, Spread)>,
}

/// The first address of each way that works, with its times.
#[derive(Debug, Default)]
pub struct Ways {
    pub udp: Option<(IpAddr, Spread)>,
    /// And what connecting takes.
    pub tls: Option<(IpAddr, Duration, Spread)>,
}

pub async fn every(subject: &Subject, addresses: &[IpAddr], tell: &dyn Fn(&Check)) -> Vec<Reached> {
    join_all(addresses.iter().map(|address| one(subject, *address, tell))).await
}

pub fn best(reached: &[Reached]) -> Ways {
    let mut udp = reached.iter().map(|one| Some((one.address, one.udp?)));
    let mut tls = reached.iter().map(|one| {
        let (connect, spread) = one.tls?;
        Some((one.address, connect, spread))
    });
    Ways {
        udp: udp.find_map(|way| way),
        tls: tls.find_map(|way| way),
    }
}

async fn one(subject: &Subject, address: IpAddr, tell: &dyn Fn(&Check)) -> Reached {
    let told = |checks: Vec<Check>| {
        checks.iter().for_each(tell);
        checks
    };
    let udp = async {
        let (spread, checks) = udp(subject, subject.udp_at(address)).await;
        (spread, told(checks))
    };
    let tcp = async { told(vec![tcp(subject.tcp_at(address)).await]) };
    let tls = async {
        let (way, checks) = tls(subject, address).await;
        (way, told(checks))
    };
    let ((udp, first), second, (tls, third)) = tokio::join!(udp, tcp, tls);
    Reached {
        address,
        checks: [first, second, third].concat(),
        udp,
        tls,
    }
}

async fn udp(subject: &Subject, server: SocketAddr) -> (Option<Spread>, Vec<Check>) {
    let check = Check::of("udp", server);
    let asked = timeout(LONGEST, async {
        let wire = Wire::udp(server).await?;
        let mut prober = Prober::new(wire, subject.login.as_ref(), true);
        Ok::<_, Silence>((prober.round_trips().await?, prober))
    });
    match asked.await.unwrap_or(Err(Silence::Unanswered)) {
        Ok((spread, mut prober)) => {
            let mut checks = vec![check.works("answers").timed(spread)];
            if subject.login.is_some() {
                checks.push(allocation("udp-allocation", server, &mut prober).await);
            }
            (Some(spread), checks)
        }
        Err(silence) => (None, vec![silent(check, Leg::Udp, server, &silence)]),
    }
}

async fn tcp(server: SocketAddr) -> Check {
    let check = Check::of("tcp", server);
    let asked = timeout(CONNECT, async {
        let mut prober = Prober::new(Wire::tcp(server).await?, None, true);
        prober.round_trips().await
    });
    match asked.await.unwrap_or(Err(Silence::Unanswered)) {
        Ok(spread) => check.works("answers").timed(spread),
        Err(silence) => silent(check, Leg::Tcp, server, &silence),
    }
}

async fn tls(subject: &Subject, address: IpAddr) -> (Option<(Duration, Spread)>, Vec<Check>) {
    let secure = subject.secure_at(address);
    let server = secure.address;
    let check = Check::of("tls", server);
    let began = Instant::now();
    let tcp = timeout(CONNECT, TcpStream::connect(server)).await;
    let tcp = match tcp.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(tcp) => tcp,
        Err(error) => return (None, vec![silent(check, Leg::Tcp, server, &error.into())]),
    };
    let rest = LONGEST.saturating_sub(began.elapsed());
    let stream = timeout(rest, secure.over(tcp)).await;
    let stream = match stream.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(stream) => stream,
        Err(error) => return (None, vec![insecure(check, server, &error)]),
    };
    let connect = began.elapsed();
    let session = stream.get_ref().1;
    let alpn = match session.alpn_protocol() {
        Some(agreed) => String::from_utf8_lossy(agreed).into_owned(),
        None => "none".to_owned(),
    };
    let shown = session.peer_certificates().and_then(|chain| chain.first());
    let facts = shown.map_or(String::new(), |shown| certificate::facts(shown));
    let found = format!(
        "connected in {} ms, ALPN {alpn}, {facts}",
        connect.as_millis()
    );
    let mut prober = Prober::new(Wire::stream(stream), subject.login.as_ref(), true);
    let rest = LONGEST.saturating_sub(began.elapsed());
    match timeout(rest, prober.round_trips()).await {
        Ok(Ok(spread)) => {
            let mut checks = vec![check.works(found).timed(spread)];
            if subject.login.is_some() {
                checks.push(allocation("tls-allocation", server, &mut prober).await);
            }
            (Some((connect, spread)), checks)
        }
        _ => {
            let fault = format!(
                "{found}, and then no answer of TURN: something between takes its place, or it is no relay"
            );
            (None, vec![check.fails(fault)])
        }
    }
}

async fn allocation(name: &'static str, server: SocketAddr, prober: &mut Prober) -> Check {
    let check = Check::of(name, server);
    match prober.allocate(ALLOCATE).await {
        Ok(relayed) => check.works(format!("relayed address {relayed}")),
        Err(Silence::Refused(refused)) => {
            let said = refused.to_string();
            let said = said.trim_end();
            match refused.code {
                401 | 403 | 441 => check.refused(format!("{said}: check user, password or token")),
                _ => check.fails(format!("{said}: ask the relay's operator")),
            }
        }
        Err(silence) => check.fails(silence),
    }
}

/// Nothing came back, or the system says why nothing can.
fn silent(check: Check, leg: Leg, server: SocketAddr, silence: &Silence) -> Check {
    let blocked = |why: &dyn Display| {
        let found = format!("{why}: a firewall on the way, or nothing listens there");
        check.clone().blocked(found, Opening::to(leg, server))
    };
    match silence {
        Silence::Broken(error) => match error.kind() {
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable
                if server.is_ipv6() =>
            {
                check.clone().skipped("this host has no way to IPv6")
            }
            io::ErrorKind::ConnectionRefused => blocked(&"refused"),
            io::ErrorKind::TimedOut => blocked(&"no answer"),
            io::ErrorKind::PermissionDenied => blocked(&"this host does not let it out"),
            _ => blocked(error),
        },
        Silence::Unanswered => blocked(&"no answer"),
        other => check.clone().fails(other),
    }
}

/// TCP passes, TLS does not.
fn insecure(check: Check, server: SocketAddr, error: &io::Error) -> Check {
    let cause = error.get_ref();
    let cause = cause.and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(why)) => check.fails(format!(
            "its certificate is not trusted ({why}): something between reads along, or name its authority with --ca and its name with --tls-name"
        )),
        _ => check.blocked(
            format!("TCP connects, and TLS does not come up ({error}): something on the way inspects it"),
            Opening::to(Leg::Tcp, server),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::State;

    #[test]
    fn a_host_without_ipv6_is_no_fault_and_one_without_a_way_to_ipv4_is() {
        let silence = || Silence::Broken(io::ErrorKind::NetworkUnreachable.into());
        for (server, state) in [
            ("[2001:db8::1]:3478", State::Skipped),
            ("192.0.2.1:3478", State::Fails),
        ] {
            let server = server.parse().unwrap();
            let check = silent(Check::of("udp", server), Leg::Udp, server, &silence());
            assert_eq!(check.state, state, "{server}");
            assert_eq!(check.open.is_some(), state == State::Fails);
        }
    }
}
