//! Frames cut, damaged and shortened.

use super::*;

fn frame(records: &[(&str, &[u8])]) -> Frame {
    let mut frame = Frame::default();
    for (key, value) in records {
        let value = (!value.is_empty()).then_some(*value);
        frame.copy(&Record { key, value });
    }
    frame
}

fn read(bytes: &[u8]) -> (Vec<(String, Vec<u8>)>, usize) {
    let mut frames = Frames::of(bytes).unwrap();
    let mut all = Vec::new();
    for records in &mut frames {
        all.extend(records.map(|r| (r.key.to_owned(), r.value.unwrap_or_default().to_vec())));
    }
    (all, frames.whole())
}

fn two_frames() -> (Vec<u8>, [usize; 3]) {
    let first = frame(&[("a", b"one"), ("b", b"")]).seal().to_vec();
    let second = frame(&[("a", b"three"), ("c", &[7; 300])]).seal().to_vec();
    let ends = [MARK.len(), MARK.len() + first.len()];
    let bytes = [MARK, &first[..], &second[..]].concat();
    let end = bytes.len();
    (bytes, [ends[0], ends[1], end])
}

#[test]
fn a_tail_cut_at_any_byte_leaves_the_frames_before_it() {
    let (bytes, ends) = two_frames();
    for length in MARK.len()..=bytes.len() {
        let frames = ends.iter().rposition(|end| *end <= length).unwrap();
        let (records, whole) = read(&bytes[..length]);
        assert_eq!(
            (records.len(), whole),
            (2 * frames, ends[frames]),
            "{length}"
        );
    }
    assert!(Frames::of(&bytes[..MARK.len() - 1]).is_none());
}

#[test]
fn a_frame_with_any_bit_turned_does_not_count_and_nothing_after_it() {
    let (bytes, ends) = two_frames();
    for at in ends[0]..ends[1] {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            assert_eq!(read(&bytes), (Vec::new(), ends[0]), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn zeros_are_no_frames_and_an_empty_frame_is_no_bytes() {
    let bytes = [MARK, &[0; 64][..]].concat();
    assert_eq!(read(&bytes), (Vec::new(), MARK.len()));
    assert!(frame(&[]).seal().is_empty());
}

#[test]
fn a_value_that_cannot_be_written_leaves_no_record() {
    let mut frame = frame(&[("a", b"one")]);
    let before = frame.seal().to_vec();
    let failed = frame.add("b", |bytes| {
        bytes.push(1);
        Err(())
    });
    assert_eq!((failed, frame.seal()), (Err(()), &before[..]));
}

#[test]
fn of_what_was_replaced_only_the_last_is_left_and_that_something_is_gone_is_not_forgotten() {
    let mut frame = frame(&[("a", b"one"), ("b", b"two"), ("a", b"three"), ("b", b"")]);
    frame.forget_replaced();
    let bytes = [MARK, frame.seal()].concat();
    let kept = [
        ("a".to_owned(), b"three".to_vec()),
        ("b".to_owned(), vec![]),
    ];
    assert_eq!(read(&bytes), (kept.to_vec(), bytes.len()));
    frame.clear();
    frame.forget_replaced();
    assert!(frame.is_empty());
}
