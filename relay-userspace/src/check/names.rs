//! Where the relay's name leads. Asks the system, as every application does.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::report::Check;

/// More are not tried.
const MOST: usize = 4;

/// In the system's order.
pub async fn look_up(host: &str, patience: Duration) -> (Check, Vec<IpAddr>) {
    let check = Check::of("dns", host);
    if let Ok(address) = host.parse() {
        return (
            check.works("an address: there is nothing to look up"),
            vec![address],
        );
    }
    let began = Instant::now();
    let found = tokio::time::timeout(patience, tokio::net::lookup_host((host, 0))).await;
    let took = began.elapsed().as_millis();
    let mut addresses = match found {
        Ok(Ok(found)) => found.map(|one| one.ip()).collect::<Vec<_>>(),
        Ok(Err(error)) => {
            let fault = format!("{error}: check the name, and the name servers of this host");
            return (check.fails(fault), Vec::new());
        }
        Err(_) => {
            let fault = format!(
                "no answer within {} s: check the name servers of this host",
                patience.as_secs()
            );
            return (check.fails(fault), Vec::new());
        }
    };
    addresses.dedup();
    let listed: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
    addresses.truncate(MOST);
    match addresses.is_empty() {
        true => (check.fails("it has no address"), addresses),
        false => (
            check.works(format!("{} in {took} ms", listed.join(", "))),
            addresses,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::State;

    const LONG: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn an_address_is_its_own_name_and_one_that_cannot_be_a_name_fails() {
        let (check, addresses) = look_up("192.0.2.1", LONG).await;
        assert_eq!((check.state, addresses.len()), (State::Works, 1));
        let (check, addresses) = look_up(&"x".repeat(300), LONG).await;
        assert_eq!((check.state, addresses.len()), (State::Fails, 0));
        assert!(check.found.contains("name servers"), "{}", check.found);
    }
}
