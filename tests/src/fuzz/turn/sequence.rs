//! Any sequence of authenticated requests, data, time and restarts: the server and the books never disagree.

use std::net::SocketAddr;
use std::time::Duration;

use relay_userspace::events::Reason;
use relay_userspace::fastpath::SessionSpec;
use relay_userspace::turn::{BindFault, Command};
use turn_types::attribute::{
    ChannelNumber, EvenPort, Lifetime, RequestedAddressFamily, RequestedTransport,
};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, REFRESH};

use super::super::input::Input;
use super::books::{Asked, Books};
use super::message::parse;
use super::stage::{PEERS, Stage, client, peer};

struct Play {
    stage: Stage,
    books: Books,
}

/// Three bytes a step: what, who, how.
pub fn turn_sequence(input: &[u8]) {
    let mut input = Input(input);
    let mut play = Play {
        stage: Stage::new(),
        books: Books::default(),
    };
    while !input.is_empty() {
        let (kind, who, how) = (input.below(13), input.below(4), input.byte());
        play.step(kind, who, how);
        assert_eq!(
            play.books.relayed.len(),
            play.stage.server.allocations().count()
        );
    }
    play.pass(Duration::from_secs(20_000), true);
    assert!(play.books.sessions.is_empty() && play.books.relayed.is_empty());
    assert_eq!(
        play.stage.server.poll_timeout(),
        None,
        "something is due for ever"
    );
}

impl Play {
    fn step(&mut self, kind: usize, who: usize, how: u8) {
        let target = peer(how.into());
        let number = 0x4000 + u16::from(how >> 4) % 4;
        match kind {
            0 => self.allocate(who, how),
            1 => self.answer_binds(how & 7 != 0),
            2 => {
                let lifetime = Lifetime::new([0, 600, 1, 4000][usize::from(how) % 4]);
                self.before_asking();
                self.stage.ask(who, REFRESH, &[&lifetime]);
                self.books
                    .execute(&mut self.stage, Some((who, Asked::Refresh)));
            }
            3 => {
                self.before_asking();
                let named = self.stage.named(how.into());
                self.stage.ask(who, CREATE_PERMISSION, &[&named]);
                let asked = Asked::Permit(target);
                self.books.execute(&mut self.stage, Some((who, asked)));
            }
            4 | 5 => {
                self.before_asking();
                let named = self.stage.named(how.into());
                let number = ChannelNumber::new(number);
                self.stage.ask(who, CHANNEL_BIND, &[&number, &named]);
                let asked = Asked::Bind(target);
                self.books.execute(&mut self.stage, Some((who, asked)));
            }
            6 => self.pass(Duration::from_secs(u64::from(how) * 2), true),
            // Nobody calls the server in time.
            7 => self.pass(Duration::from_secs(u64::from(how) * 2), false),
            8 => {
                let ids: Vec<_> = self.stage.server.allocations().map(|a| a.id).collect();
                if let Some(id) = ids.get(who) {
                    assert!(self.stage.server.kill(*id, Reason::Killed));
                }
                self.books.execute(&mut self.stage, None);
            }
            9 | 10 => self.client_sends(who, number),
            11 => self.peers_send(how.into()),
            _ => self.restart(),
        }
    }

    /// What is due is ordered before a request is heard.
    fn before_asking(&mut self) {
        self.stage.server.handle_timeout(self.stage.now);
        self.books.execute(&mut self.stage, None);
    }

    fn allocate(&mut self, who: usize, how: u8) {
        self.before_asking();
        let transport = RequestedTransport::new(17);
        let lifetime = Lifetime::new([600, 0, 5, 9999][usize::from(how) % 4]);
        let family = match how & 4 {
            0 => RequestedAddressFamily::new(turn_types::AddressFamily::IPV4),
            _ => RequestedAddressFamily::new(turn_types::AddressFamily::IPV6),
        };
        let even = EvenPort::new(how & 16 != 0);
        match how & 8 {
            0 => self
                .stage
                .ask(who, ALLOCATE, &[&transport, &lifetime, &family]),
            _ => self
                .stage
                .ask(who, ALLOCATE, &[&transport, &lifetime, &even]),
        }
        self.books
            .execute(&mut self.stage, Some((who, Asked::Allocate)));
    }

    fn answer_binds(&mut self, well: bool) {
        for (id, family) in std::mem::take(&mut self.books.unbound) {
            let relayed = self.stage.free_address(family);
            let result = well.then_some(relayed).ok_or(BindFault::PortsExhausted);
            let server = &mut self.stage.server;
            server.relay_bound(self.stage.now, id, family, result);
            let made = self.stage.server.allocation(id);
            let who = made.map(|view| usize::from(view.tuple.client.port() - 1000));
            if let Some(who) = who {
                self.books.relayed.insert(relayed, who);
            }
            match who {
                Some(who) => self
                    .books
                    .execute(&mut self.stage, Some((who, Asked::Allocate))),
                None => self.not_bound(relayed),
            }
        }
    }

    /// Of an allocation that is gone or could not be had: an error, or the address back, and nothing else.
    fn not_bound(&mut self, relayed: SocketAddr) {
        while let Some(command) = self.stage.server.next_command() {
            match command {
                Command::Send { bytes, .. } => assert!(parse(&bytes).is_some_and(|a| !a.success)),
                Command::ReleaseRelay { relayed: back, .. } => assert_eq!(back, relayed),
                other => panic!("ordered for nothing: {other:?}"),
            }
        }
    }

    fn pass(&mut self, time: Duration, told: bool) {
        self.stage.now.mono += time;
        self.stage.now.unix += time.as_secs();
        if told {
            self.stage.server.handle_timeout(self.stage.now);
            self.books.execute(&mut self.stage, None);
        }
    }

    fn client_sends(&mut self, who: usize, number: u16) {
        let [high, low] = number.to_be_bytes();
        let bytes = [high, low, 0, 1, 7];
        let now = self.stage.now;
        if let Some(to) = self.stage.server.handle_client(now, client(who), &bytes) {
            assert_eq!(self.books.relayed.get(&to.relayed), Some(&who));
            assert!(self.stage.policy.check(to.peer).is_ok());
            assert_eq!(to.data, [7]);
        }
    }

    fn peers_send(&mut self, which: usize) {
        let (now, from) = (self.stage.now, peer(which % PEERS.len()));
        for (relayed, who) in self.books.relayed.clone() {
            let mut out = Vec::new();
            let heard = self
                .stage
                .server
                .handle_peer(now, relayed, from, b"x", &mut out);
            if let Some(to) = heard {
                assert_eq!(to, client(who), "somebody else's packet");
                assert!(self.books.permits(who, from, now.mono), "no permission");
            }
        }
    }

    /// The process dies; the next one restores what was saved.
    fn restart(&mut self) {
        let ids: Vec<_> = self.stage.server.allocations().map(|a| a.id).collect();
        let saved: Vec<_> = ids
            .iter()
            .filter_map(|id| self.stage.server.save(*id))
            .collect();
        let before = self.books.forget_process();
        self.stage.server = self.stage.another_server();
        for allocation in saved {
            let restored = self.stage.server.restore(self.stage.now, &allocation);
            if restored.is_err() {
                assert!(allocation.expires <= self.stage.now.mono, "{restored:?}");
                self.books.lapsed(allocation.relayed);
            }
            self.books.execute(&mut self.stage, None);
        }
        for (id, spec) in &self.books.sessions {
            // A moment that is over is as good as another.
            let still = |mut spec: SessionSpec| {
                let now = self.stage.now.mono;
                spec.near.deadline = spec.near.deadline.max(now);
                spec.far.deadline = spec.far.deadline.max(now);
                spec
            };
            assert_eq!(still(before[id]), still(*spec), "other than before");
        }
    }
}
