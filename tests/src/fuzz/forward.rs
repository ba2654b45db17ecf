//! The sessions of a forward under any sequence of events, held against a driver's books.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use relay_userspace::fastpath::SessionId;
use relay_userspace::forward::shared::SharedLimit;
use relay_userspace::forward::table::{Client, Command, Rules, Table, Verdict};
use relay_userspace::icmp::IcmpError;

use super::input::Input;

const IDLE: Duration = Duration::from_secs(40);
const MOST: usize = 6;

struct Driver {
    table: Table,
    limit: Arc<SharedLimit>,
    /// Client, destination and deadline of what is installed.
    installed: HashMap<SessionId, (SocketAddr, SocketAddr, Instant)>,
    now: Instant,
    next: u64,
}

/// Four bytes an event, about one of eight clients and one of three targets.
pub fn forward(input: &[u8]) {
    let mut input = Input(input);
    let limit = Arc::new(SharedLimit::new(MOST));
    let rules = Rules {
        allow: vec!["192.0.2.0/24".parse().expect("a network")],
        idle: IDLE,
        admission: Default::default(),
    };
    let table = Table::new(rules, Arc::clone(&limit), vec![target(0)]);
    let mut driver = Driver {
        table,
        limit,
        installed: HashMap::new(),
        now: Instant::now(),
        next: 1,
    };
    while !input.is_empty() {
        driver.event(&mut input);
        driver.execute();
    }
    driver.now += 3 * IDLE;
    // Once to see that nothing moved, once to end what did not.
    driver.table.handle_timeout(driver.now, |_| 0);
    driver.now += 3 * IDLE;
    driver.table.handle_timeout(driver.now, |_| 0);
    driver.execute();
    assert!(driver.installed.is_empty(), "outlives its silence");
    assert_eq!(
        (driver.limit.sessions(), driver.table.poll_timeout()),
        (0, None)
    );
}

fn target(number: usize) -> SocketAddr {
    let all = [
        "198.51.100.1:5004",
        "198.51.100.2:5004",
        "[2001:db8::1]:5004",
    ];
    all[number % all.len()].parse().expect("an address")
}

fn client(number: usize) -> Client {
    // The last one is not allowed.
    let host = if number == 7 { "203.0.113" } else { "192.0.2" };
    Client {
        remote: format!("{host}.{number}:4000").parse().expect("an address"),
        server: "192.0.2.254:5004".parse().expect("an address"),
    }
}

impl Driver {
    fn event(&mut self, input: &mut Input<'_>) {
        let (kind, who, which, how) = (input.below(8), input.below(8), input.byte(), input.byte());
        let session = SessionId(u64::from(which) % self.next);
        match kind {
            0 | 1 => self.client_sends(client(who), how),
            2 => {
                let from = target(how.into());
                let heard = self.table.handle_destination(self.now, session, from, 10);
                if let Ok(to) = heard {
                    let (client, destination, deadline) = self.installed[&session];
                    assert_eq!((to.remote, from), (client, destination));
                    assert!(self.now < deadline);
                }
            }
            3 => self.now += Duration::from_millis(u64::from(how) * 250),
            4 => {
                let moves = u64::from(which);
                self.table.handle_timeout(self.now, |id| id.0 * moves);
            }
            5 => {
                let error = IcmpError {
                    kind: which,
                    code: how,
                    mtu: 1280,
                };
                let about = target(how.into());
                let told = self.table.handle_icmp(self.now, session, about, error);
                if let Ok(to) = told {
                    assert_eq!((to.remote, about), {
                        let (client, destination, _) = self.installed[&session];
                        (client, destination)
                    });
                }
            }
            6 => {
                let targets = (0..usize::from(which) % 4).map(target).collect();
                self.table.retarget(targets, |_| how & 1 == 0);
            }
            _ => {
                let known = self.table.kill(session);
                assert_eq!(known, self.installed.contains_key(&session));
            }
        }
    }

    fn client_sends(&mut self, client: Client, how: u8) {
        match self.table.handle_client(self.now, client, 10) {
            Verdict::Relay {
                session,
                destination,
            } => {
                let (owner, to, deadline) = self.installed[&session];
                assert_eq!((owner, to), (client.remote, destination));
                assert!(self.now < deadline);
            }
            Verdict::Open(opening) if how & 1 == 0 => {
                let local = SocketAddr::new(client.server.ip(), 50_000);
                let id = SessionId(self.next);
                self.next += 1;
                self.table.opened(self.now, id, opening, local, 10);
            }
            Verdict::Open(opening) => self.table.not_opened(opening),
            Verdict::Refused(_) => {}
        }
    }

    fn execute(&mut self) {
        while let Some(command) = self.table.next_command() {
            match command {
                Command::Install { session, spec } => {
                    assert_ne!(spec.near.remote, client(7).remote, "may not use it");
                    assert!(spec.near.deadline <= self.now + IDLE);
                    let entry = (spec.near.remote, spec.far.remote, spec.near.deadline);
                    assert!(self.installed.insert(session, entry).is_none());
                }
                Command::Extend { session, deadline } => {
                    assert!(deadline <= self.now + IDLE);
                    self.installed.get_mut(&session).expect("installed").2 = deadline;
                }
                Command::Remove { session } => assert!(self.installed.remove(&session).is_some()),
            }
        }
        assert_eq!(self.installed.len(), self.table.sessions().count());
        assert_eq!(self.installed.len(), self.limit.sessions());
        assert!(self.installed.len() <= MOST);
    }
}
