//! Sessions of a forward in virtual time.

use super::*;

const IDLE: Duration = Duration::from_secs(60);

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

struct Fixture {
    table: Table,
    limit: Arc<SharedLimit>,
    admission: Admission,
    now: Instant,
    next: u64,
}

impl Fixture {
    fn new(allow: &[&str], max_sessions: usize) -> Fixture {
        let limit = Arc::new(SharedLimit::new(max_sessions));
        let allow = allow
            .iter()
            .map(|net| net.parse().expect("a network"))
            .collect();
        let admission = Admission::default();
        let table = Table::new(
            Rules {
                allow,
                idle: IDLE,
                admission: admission.clone(),
            },
            Arc::clone(&limit),
            vec![addr("198.51.100.9:5000")],
        );
        Fixture {
            table,
            limit,
            admission,
            now: Instant::now(),
            next: 1,
        }
    }

    fn client(&self, remote: &str) -> Client {
        Client {
            remote: addr(remote),
            server: addr("203.0.113.1:7000"),
        }
    }

    /// Opens a session and takes its Install command.
    fn open(&mut self, remote: &str) -> SessionId {
        let client = self.client(remote);
        let Verdict::Open(opening) = self.table.handle_client(self.now, client, 100) else {
            panic!("{remote} gets no session")
        };
        let id = SessionId(self.next);
        self.next += 1;
        self.table
            .opened(self.now, id, opening, addr("203.0.113.1:50000"), 100);
        let deadline = self.now + IDLE;
        let near = Leg {
            remote: client.remote,
            local: client.server,
            channel: None,
            deadline,
        };
        let far = Leg {
            remote: opening.destination,
            local: addr("203.0.113.1:50000"),
            channel: None,
            deadline,
        };
        self.commands(&[Command::Install {
            session: id,
            spec: SessionSpec { near, far },
        }]);
        id
    }

    /// Runs every timer until `until`.
    fn run(&mut self, until: Instant, kernel: impl Fn(SessionId) -> u64) {
        while let Some(at) = self.table.poll_timeout().filter(|at| *at <= until) {
            self.now = at;
            self.table.handle_timeout(at, &kernel);
        }
        self.now = until;
    }

    fn commands(&mut self, expected: &[Command]) {
        let got: Vec<_> = std::iter::from_fn(|| self.table.next_command()).collect();
        assert_eq!(got, expected);
    }
}

#[test]
fn the_first_packet_opens_and_the_rest_is_relayed() {
    let mut f = Fixture::new(&[], 10);
    let id = f.open("192.0.2.1:1000");
    let verdict = f.table.handle_client(f.now, f.client("192.0.2.1:1000"), 10);
    assert_eq!(
        verdict,
        Verdict::Relay {
            session: id,
            destination: addr("198.51.100.9:5000")
        }
    );
    let back = f
        .table
        .handle_destination(f.now, id, addr("198.51.100.9:5000"), 10);
    assert_eq!(back, Ok(f.client("192.0.2.1:1000")));
    f.commands(&[]);
}

#[test]
fn a_stranger_at_the_relay_port_is_not_heard() {
    let mut f = Fixture::new(&[], 10);
    let id = f.open("192.0.2.1:1000");
    for stranger in ["198.51.100.9:5001", "198.51.100.10:5000"] {
        let heard = f.table.handle_destination(f.now, id, addr(stranger), 10);
        assert_eq!(heard, Err(Unheard::NotTheDestination));
    }
}

#[test]
fn a_session_without_traffic_ends_after_idle_and_gives_its_place_back() {
    let mut f = Fixture::new(&[], 1);
    let id = f.open("192.0.2.1:1000");
    let start = f.now;
    // The first check sees the packet that opened the session.
    f.run(start + IDLE / 4, |_| 0);
    f.commands(&[Command::Extend {
        session: id,
        deadline: start + IDLE + IDLE / 4,
    }]);
    f.run(start + IDLE + IDLE / 4 - Duration::from_millis(1), |_| 0);
    f.commands(&[]);
    assert_eq!(f.limit.sessions(), 1);
    f.run(start + IDLE + IDLE / 4, |_| 0);
    f.commands(&[Command::Remove { session: id }]);
    assert_eq!(f.limit.sessions(), 0);
    assert_eq!(f.table.poll_timeout(), None);
}

#[test]
fn traffic_in_the_kernel_alone_keeps_a_session() {
    let mut f = Fixture::new(&[], 1);
    let id = f.open("192.0.2.1:1000");
    let start = f.now;
    let packets = std::cell::Cell::new(0);
    f.run(start + 10 * IDLE, |_| {
        packets.set(packets.get() + 1);
        packets.get()
    });
    let commands: Vec<_> = std::iter::from_fn(|| f.table.next_command()).collect();
    assert_eq!(commands.len(), 40, "four checks an idle period");
    assert_eq!(
        commands.last(),
        Some(&Command::Extend {
            session: id,
            deadline: f.now + IDLE
        })
    );
}

#[test]
fn an_expired_session_relays_nothing_even_before_its_timer_ran() {
    let mut f = Fixture::new(&[], 2);
    let id = f.open("192.0.2.1:1000");
    f.now += IDLE;
    let heard = f
        .table
        .handle_destination(f.now, id, addr("198.51.100.9:5000"), 10);
    assert_eq!(heard, Err(Unheard::Expired));
    let verdict = f.table.handle_client(f.now, f.client("192.0.2.1:1000"), 10);
    assert!(
        matches!(verdict, Verdict::Open(_)),
        "a new session, not the old one"
    );
    f.commands(&[Command::Remove { session: id }]);
}

#[test]
fn clients_outside_the_allow_list_are_refused_in_any_spelling() {
    let mut f = Fixture::new(&["192.0.2.0/24"], 10);
    let refused = f.table.handle_client(f.now, f.client("198.51.100.1:1"), 1);
    assert_eq!(refused, Verdict::Refused(Refusal::Allow));
    f.open("[::ffff:192.0.2.1]:1000");
    assert_eq!(f.limit.refused(), 1);
}

#[test]
fn no_more_sessions_than_allowed_over_all_workers() {
    let mut f = Fixture::new(&[], 2);
    assert!(f.limit.take(), "another worker's session");
    f.open("192.0.2.1:1000");
    let refused = f.table.handle_client(f.now, f.client("192.0.2.2:1000"), 1);
    assert_eq!(refused, Verdict::Refused(Refusal::Full));
    f.limit.give_back();
    f.open("192.0.2.2:1000");
}

#[test]
fn a_failed_bind_gives_the_place_back() {
    let mut f = Fixture::new(&[], 1);
    let Verdict::Open(opening) = f.table.handle_client(f.now, f.client("192.0.2.1:1000"), 1) else {
        panic!("open")
    };
    f.table.not_opened(opening);
    f.open("192.0.2.1:1000");
}

#[test]
fn a_new_address_takes_new_sessions_and_leaves_old_ones() {
    let mut f = Fixture::new(&[], 10);
    let old = f.open("192.0.2.1:1000");
    f.table.retarget(vec![addr("198.51.100.10:5000")], |_| true);
    let verdict = f.table.handle_client(f.now, f.client("192.0.2.1:1000"), 1);
    assert_eq!(
        verdict,
        Verdict::Relay {
            session: old,
            destination: addr("198.51.100.9:5000")
        }
    );
    let Verdict::Open(opening) = f.table.handle_client(f.now, f.client("192.0.2.2:1000"), 1) else {
        panic!("open")
    };
    assert_eq!(opening.destination, addr("198.51.100.10:5000"));
    f.commands(&[]);
}

#[test]
fn an_address_that_became_denied_loses_its_sessions() {
    let mut f = Fixture::new(&[], 10);
    let old = f.open("192.0.2.1:1000");
    f.table.retarget(vec![addr("198.51.100.10:5000")], |to| {
        to != addr("198.51.100.9:5000")
    });
    f.commands(&[Command::Remove { session: old }]);
    assert_eq!(f.limit.sessions(), 0);
}

#[test]
fn a_killed_session_is_gone_and_a_second_kill_finds_nothing() {
    let mut f = Fixture::new(&[], 10);
    let id = f.open("192.0.2.1:1000");
    assert!(f.table.kill(id));
    f.commands(&[Command::Remove { session: id }]);
    assert!(!f.table.kill(id));
    f.commands(&[]);
}

#[test]
fn an_icmp_error_about_the_destination_marks_the_session_and_names_the_client() {
    let mut f = Fixture::new(&[], 9);
    let id = f.open("192.0.2.1:1000");
    let (kind, code, mtu) = (3, 3, 0);
    let error = IcmpError { kind, code, mtu };
    let mut told = |about: &str| f.table.handle_icmp(f.now, id, addr(about), error);
    assert_eq!(told("198.51.100.8:5000"), Err(Unheard::NotTheDestination));
    let client = told("198.51.100.9:5000").expect("its destination");
    assert_eq!(client.remote, addr("192.0.2.1:1000"));
    let (_, session) = f.table.sessions().next().expect("it goes on");
    assert_eq!(session.trouble, Some(Trouble { error, at: f.now }));
}

#[test]
fn while_the_relay_drains_who_is_there_goes_on_and_nobody_else_comes() {
    let mut f = Fixture::new(&[], 10);
    let id = f.open("192.0.2.1:1000");
    f.admission.close();
    let verdict = f.table.handle_client(f.now, f.client("192.0.2.1:1000"), 10);
    assert!(matches!(verdict, Verdict::Relay { session, .. } if session == id));
    let verdict = f.table.handle_client(f.now, f.client("192.0.2.2:1000"), 10);
    assert_eq!(verdict, Verdict::Refused(Refusal::Draining));
    f.admission.open();
    f.open("192.0.2.2:1000");
}
