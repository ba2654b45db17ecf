//! What waits while a connection takes nothing, by a clock that only the test moves.

use std::cell::Cell;
use std::future::pending;
use std::task::{Context, Waker};

use super::*;

const STEP: Duration = Duration::from_millis(50);
const BYTES: usize = 1000;

thread_local! {
    static NOW: Cell<Instant> = Cell::new(Instant::now());
}

fn now() -> Instant {
    NOW.get()
}

/// One look, as a runtime takes it.
fn poll<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// ChannelData, numbered in its first bytes of data.
fn datagram(number: u32) -> Vec<u8> {
    let mut message = vec![0; 4 + BYTES];
    message[..4].copy_from_slice(&[0x40, 0x01, (BYTES >> 8) as u8, BYTES as u8]);
    message[4..8].copy_from_slice(&number.to_be_bytes());
    message
}

/// These datagrams, one every [`STEP`].
fn push(outbox: &Outbox, numbers: std::ops::Range<u32>) {
    for number in numbers {
        assert!(outbox.push(now(), &datagram(number)));
        NOW.set(now() + STEP);
    }
}

/// The numbers of what leaves now.
fn leaving(outbox: &Outbox) -> Vec<u32> {
    let mut numbers = Vec::new();
    while let Poll::Ready(Some(message)) = poll(outbox.next()) {
        numbers.push(u32::from_be_bytes(message[4..8].try_into().unwrap()));
    }
    numbers
}

#[test]
fn what_only_a_busy_machine_kept_is_sent_however_old() {
    let outbox = Outbox::by(now);
    push(&outbox, 0..20);
    assert_eq!(poll(outbox.written(async { 7 })), Poll::Ready(7));
    assert_eq!(leaving(&outbox), (0..20).collect::<Vec<_>>());
    assert_eq!(outbox.dropped(), 0);
}

#[test]
fn while_a_write_waits_the_oldest_are_forgotten() {
    let outbox = Outbox::by(now);
    assert!(poll(outbox.written(pending::<()>())).is_pending());
    push(&outbox, 0..20);
    // The last came a step ago, and 200 ms are four.
    assert_eq!(leaving(&outbox), [16, 17, 18, 19]);
    assert_eq!(outbox.dropped(), 16);
}

#[test]
fn a_write_that_ends_late_is_followed_by_nothing_old() {
    let outbox = Outbox::by(now);
    let end = Notify::new();
    let mut write = pin!(outbox.written(end.notified()));
    assert!(poll(write.as_mut()).is_pending());
    push(&outbox, 0..3);
    NOW.set(now() + 20 * STEP);
    end.notify_one();
    assert!(poll(write).is_ready());
    // The brake finds little in the kernel.
    outbox.set_full(false);
    assert_eq!(leaving(&outbox), Vec::<u32>::new());
    assert_eq!(outbox.dropped(), 3);
}

#[test]
fn no_more_waits_than_its_bytes_allow_whether_it_is_full_or_not() {
    let most = (WAITING.bytes / (4 + BYTES)) as u32;
    for full in [false, true] {
        let outbox = Outbox::by(now);
        outbox.set_full(full);
        for number in 0..2 * most {
            assert!(outbox.push(now(), &datagram(number)));
        }
        assert_eq!(leaving(&outbox), (most..2 * most).collect::<Vec<_>>());
        assert_eq!(outbox.dropped(), u64::from(most));
    }
}

#[test]
fn requests_overtake_data_and_are_never_forgotten() {
    let outbox = Outbox::by(now);
    let mut request = [0; 20];
    request[4..8].copy_from_slice(&77u32.to_be_bytes());
    push(&outbox, 0..2);
    assert!(outbox.push(now(), &request));
    assert_eq!(leaving(&outbox), [77, 0, 1]);
    assert!(poll(outbox.written(pending::<()>())).is_pending());
    assert!(outbox.push(now(), &request));
    push(&outbox, 2..20);
    assert_eq!(leaving(&outbox)[..2], [77, 16]);
}

#[test]
fn it_ends_after_all_that_waited() {
    let outbox = Outbox::by(now);
    push(&outbox, 1..2);
    outbox.finish();
    assert_eq!(leaving(&outbox), [1]);
    assert_eq!(poll(outbox.next()), Poll::Ready(None));
}
