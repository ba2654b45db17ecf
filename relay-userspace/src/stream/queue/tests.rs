//! The queue under a link that stalls: order, bounds, whole messages.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::frame::{Split, split};
use super::*;

const LIMITS: Limits = Limits {
    bytes: 1000,
    age: Duration::from_millis(200),
};

fn framed(channel: u16, data: &[u8]) -> Vec<u8> {
    let mut message = channel.to_be_bytes().to_vec();
    message.extend((data.len() as u16).to_be_bytes());
    message.extend(data);
    message
}

/// Writes `most` bytes to `wire`.
fn write(queue: &mut Queue, most: usize, wire: &mut Vec<u8>) {
    let before = wire.len();
    for slice in queue.slices(most) {
        wire.extend_from_slice(&slice);
    }
    let written = wire.len() - before;
    queue.advance(written);
}

fn messages(mut wire: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let Split::Message { length, padded } = split(wire) {
        all.push(wire[..length].to_vec());
        wire = &wire[padded..];
    }
    assert!(wire.is_empty(), "torn: {wire:?}");
    all
}

#[test]
fn answers_leave_before_data_but_never_inside_a_message() {
    let now = Instant::now();
    let mut queue = Queue::new(LIMITS);
    let (a, b) = (framed(0x4000, &[1; 9]), framed(0x4000, &[2; 5]));
    let answer = [&[1, 1, 0, 0][..], &[9; 16]].concat();
    queue.push_data(now, 0x4000, &a);
    queue.push_data(now, 0x4000, &b);
    let mut wire = Vec::new();
    write(&mut queue, 6, &mut wire);
    queue.push_control(&answer).unwrap();
    write(&mut queue, 4, &mut wire);
    write(&mut queue, usize::MAX, &mut wire);
    assert_eq!(messages(&wire), [a, answer, b]);
    assert!(queue.is_empty());
}

#[test]
fn messages_can_be_taken_one_by_one() {
    let now = Instant::now();
    let mut queue = Queue::new(LIMITS);
    let answer = [&[1, 1, 0, 4][..], &[9; 20]].concat();
    queue.push_data(now, 1, &framed(0x4000, &[1; 9]));
    queue.push_data(now, 1, &framed(0x4000, &[2; 5]));
    queue.push_control(&answer).unwrap();
    queue.push_control(&answer).unwrap();
    let mut lengths = Vec::new();
    while !queue.is_empty() {
        let (first, second) = queue.next_message();
        lengths.push(first.len() + second.len());
        // Some more than halfway.
        let length = ((first.len() + second.len()) * 2 / 3).max(1);
        queue.advance(length);
        if lengths.len() == 5 {
            queue.push_control(&answer).unwrap();
        }
    }
    let whole: Vec<_> = lengths.windows(2).filter(|two| two[1] > two[0]).collect();
    assert_eq!((lengths[0], whole.len()), (24, 4), "{lengths:?}");
}

#[test]
fn the_bytes_of_a_peer_can_be_taken_one_by_one_as_well() {
    let mut queue = Queue::new(LIMITS);
    queue.push_control(&[7; 20]).unwrap();
    queue.push_bytes(&[8; 5]);
    for expected in [&[7; 20][..], &[8; 5]] {
        let (first, second) = queue.next_message();
        assert_eq!([first, second].concat(), expected);
        queue.advance(expected.len());
    }
    assert!(queue.is_empty());
}

#[test]
fn the_oldest_data_makes_room_and_is_counted_for_whose_it_was() {
    let now = Instant::now();
    let mut queue = Queue::new(LIMITS);
    let data: Vec<_> = (0..12)
        .map(|i| framed(0x4000 + i % 2, &[i as u8; 96]))
        .collect();
    let mut wire = Vec::new();
    for (i, one) in data.iter().enumerate() {
        queue.push_data(now, 0x4000 + i as u16 % 2, one);
        if i == 0 {
            write(&mut queue, 10, &mut wire);
        }
    }
    write(&mut queue, usize::MAX, &mut wire);
    // The first had begun; 90 bytes of it and nine others of 100 fit.
    let left = [&data[..1], &data[3..]].concat();
    assert_eq!(messages(&wire), left);
    assert_eq!(queue.dropped(), 2);
    assert_eq!((queue.dropped_of(0x4001), queue.dropped_of(0x4000)), (1, 1));
}

#[test]
fn small_datagrams_overtake_large_ones_but_none_that_has_begun() {
    let now = Instant::now();
    let mut queue = Queue::new(LIMITS);
    let large = [1, 2].map(|i| framed(0x4001, &[i; 400]));
    let small = [3, 4].map(|i| framed(0x4002, &[i; 160]));
    let mut wire = Vec::new();
    queue.push_data(now, 0x4001, &large[0]);
    write(&mut queue, 10, &mut wire);
    queue.push_data(now, 0x4001, &large[1]);
    queue.push_data(now, 0x4002, &small[0]);
    write(&mut queue, 400, &mut wire);
    queue.push_data(now, 0x4002, &small[1]);
    write(&mut queue, usize::MAX, &mut wire);
    let [a, b] = large;
    let [c, d] = small;
    assert_eq!(messages(&wire), [a, c, d, b]);
}

#[test]
fn too_many_bytes_cost_large_datagrams_first() {
    let now = Instant::now();
    let mut queue = Queue::new(LIMITS);
    queue.push_data(now, 1, &framed(0x4001, &[1; 160]));
    for i in 0..4 {
        queue.push_data(now, 2, &framed(0x4002, &[i; 400]));
    }
    assert_eq!((queue.dropped_of(1), queue.dropped_of(2)), (0, 2));
}

#[test]
fn what_waited_too_long_is_dropped_and_the_fresh_stays() {
    let start = Instant::now();
    let mut queue = Queue::new(LIMITS);
    for i in 0..4 {
        queue.push_data(
            start + Duration::from_millis(100 * i),
            7,
            &framed(0x4007, &[i as u8; 8]),
        );
    }
    queue.drop_aged(start + Duration::from_millis(401));
    let mut wire = Vec::new();
    write(&mut queue, usize::MAX, &mut wire);
    assert_eq!(messages(&wire), [framed(0x4007, &[3; 8])]);
    assert_eq!(queue.dropped_of(7), 3);
}

#[test]
fn a_datagram_larger_than_the_bound_is_dropped_alone() {
    let mut queue = Queue::new(LIMITS);
    queue.push_data(Instant::now(), 1, &framed(0x4000, &[0; 2000]));
    assert!(queue.is_empty());
    assert_eq!(queue.dropped(), 1);
}

#[test]
fn a_client_that_asks_and_never_reads_is_told_apart() {
    let mut queue = Queue::new(LIMITS);
    let answer = [0; 100];
    let taken = (0..).take_while(|_| queue.push_control(&answer).is_ok());
    assert_eq!(taken.count(), CONTROL_BYTES / 100);
    assert!(queue.len() <= CONTROL_BYTES);
}

#[derive(Debug, Clone)]
enum Step {
    Data(u16, usize),
    Control(usize),
    Write(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u16..4, 0usize..400).prop_map(|(owner, length)| Step::Data(owner, length)),
        (0usize..10).prop_map(Step::Control),
        (0usize..700).prop_map(Step::Write),
        (0u64..150).prop_map(Step::Pass),
    ]
}

proptest! {
    #[test]
    fn the_wire_holds_whole_messages_in_order_and_the_queue_its_bounds(steps in vec(step(), 0..200)) {
        let mut queue = Queue::new(LIMITS);
        let (mut now, mut wire) = (Instant::now(), Vec::new());
        let (mut pushed, mut serial) = (0u64, 0u32);
        for step in steps {
            match step {
                Step::Data(owner, length) => {
                    serial += 1;
                    pushed += 1;
                    let mut data = vec![0; length.max(4)];
                    data[..4].copy_from_slice(&serial.to_be_bytes());
                    queue.push_data(now, owner, &framed(0x4000 + owner, &data));
                }
                Step::Control(words) => {
                    let mut answer = vec![1, 1, 0, words as u8 * 4];
                    answer.resize(20 + 4 * words, 0);
                    queue.push_control(&answer).unwrap();
                }
                Step::Write(most) => {
                    queue.drop_aged(now);
                    write(&mut queue, most, &mut wire);
                }
                Step::Pass(milliseconds) => now += Duration::from_millis(milliseconds),
            }
            prop_assert!(queue.data() <= LIMITS.bytes);
        }
        write(&mut queue, usize::MAX, &mut wire);
        prop_assert!(queue.is_empty());
        let data = messages(&wire).into_iter().filter(|message| message[0] == 0x40);
        let (brief, bulk): (Vec<_>, Vec<_>) = data.partition(|message| message.len() <= BRIEF);
        let serial = |message: &Vec<u8>| u32::from_be_bytes(message[4..8].try_into().unwrap());
        prop_assert!(brief.is_sorted_by_key(serial) && bulk.is_sorted_by_key(serial));
        prop_assert_eq!((brief.len() + bulk.len()) as u64 + queue.dropped(), pushed);
        let by_owner: u64 = (0..4).map(|owner| queue.dropped_of(owner)).sum();
        prop_assert_eq!(by_owner, queue.dropped());
    }
}
