//! The ways in which `mutate --kind userspace` breaks what is not the data path: a promise of each module. Texts that must
//! stand once in their file.

use super::Mutation;

macro_rules! mutations {
    ($($about:literal { $($file:literal: $what:literal, $from:literal => $to:literal;)* })*) => {
        pub const MUTATIONS: &[Mutation] =
            &[$($(Mutation { file: $file, what: $what, from: $from, to: $to, about: $about }),*),*];
    };
}

mutations! {
    // Accounts.
    "credentials accounts hook" {
        "credentials.rs": "what an account's owner says does not end a credential", "candidates.expires = candidates.expires.into_iter().chain(record.expires).min();" => "";
        "credentials.rs": "a secret that is being replaced proves nothing", "self.secrets.iter().map(proof)" => "self.secrets.iter().take(1).map(proof)";
        "hook/shelf.rs": "an answer of the hook holds for ever", "(*until > now).then_some(known)" => "(*until > now || !name.is_empty()).then_some(known)";
    }
    "police" {
        "police/budget.rs": "who shares a total may have more than its own limit", "own.least(group.copied().unwrap_or(Limit::NONE))" => "Limit::NONE.least(group.copied().unwrap_or(own))";
    }
    // Drain.
    "drain" {
        "turn/allocate.rs": "an allocation is given while the relay drains", "if self.config.admission.is_closed() {" => "if false {";
        "forward/table.rs": "a forward takes new clients while the relay drains", "if self.rules.admission.is_closed() {" => "if false {";
        "admission.rs": "a drain that is taken back leaves the door closed", "self.closed.store(false, Relaxed);" => "";
    }
    "events" {
        "events/queue.rs": "what is missing is not told before what comes after it", "if self.lost > 0 { 2 } else { 1 }" => "1";
        "events/bus.rs": "what a listener lost is not counted", "self.lost.fetch_add(1, Relaxed);" => "";
        "events/bus.rs": "a listener does not know what came before it", "after: state.told," => "after: 0,";
        // Webhooks.
        "events/webhook/signature.rs": "a signature says nothing of its time", "mac.update(unix.to_string().as_bytes());" => "";
        "events/webhook/patience.rs": "attempts are ever further apart", ".min(LONGEST);\n        // Half" => ";\n        // Half";
        "events/webhook/patience.rs": "all relays try again at one moment", "let part = random() as f64 / u64::MAX as f64;" => "let part = 1.0;";
    }
    // The proxy.
    "web" {
        "web/hygiene.rs": "a client says who it is with an underscore", "name.as_str().replace('_', \"-\")" => "name.as_str().to_owned()";
        "web/target.rs": "Host and target may differ", "if !same(uri, &field) =>" => "if false && !same(uri, &field) =>";
        "web/origin.rs": "an origin that failed a request is asked again for it", "one.is_healthy() && !tried.contains(index)" => "one.is_healthy()";
    }
    // The connector.
    "client::session" {
        "client/session/outbox.rs": "while a write waits nothing becomes old", "self.set_full(true);" => "";
        "client/session/outbox.rs": "after a write that waited old data is sent", "self.lock().queue.drop_aged((self.now)());" => "";
        "client/session/servers.rs": "a relay that sent its client away is asked again", "&& !self.left.contains(&(leg, **to))" => "";
        "client/session/servers.rs": "relays may send a client on for ever", "self.left.len() <= MOST" => "self.left.len() <= MOST + 100";
    }
    "journal" {
        "journal/frame.rs": "a frame with a wrong checksum counts", "|| crc32fast::hash(records) as usize != sum" => "|| sum > u32::MAX as usize";
        "journal/frame.rs": "half a record stays in its frame", "self.bytes.truncate(at);" => "";
        "journal/store.rs": "the journal of another boot is read", "Some(found) if found == *identity =>" => "Some(found) if found.format == identity.format =>";
        "journal/mailbox.rs": "a change is said to be in the file too early", "let commit = Commit(state.begun + 1);" => "let commit = Commit(state.begun);";
    }
    "mode" {
        "mode/machine.rs": "a mode opens a leg it forbids", "self.mode.allows(leg) && self.path(leg).state == State::Closed" => "self.path(leg).state == State::Closed";
        "mode/machine.rs": "a route is told that is not in use", "take_if(|change| change.route == route)" => "take_if(|_| true)";
        "mode/machine/choose.rs": "secure TCP does not wait for UDP", "let committed = !self.udp_hopes() || waited >= self.policy.commit;" => "let committed = true;";
        "mode/machine/live.rs": "UDP is returned to at once", "if dwelt && self.may_return()" => "if self.may_return()";
        "mode/machine/live.rs": "one who came back too early comes back as early again", "(2 * self.dwell).min(longest)" => "self.policy.dwell";
    }
}
