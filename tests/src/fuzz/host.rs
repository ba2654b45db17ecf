//! What this host says and is told: configuration, control messages, netlink, firewalls, ICMP.

use relay_common::checksum;
use relay_userspace::fuzz as door;
use relay_userspace::icmp::IcmpError;

use super::input::Input;

/// A file is a configuration that reads back as itself, or has faults that say where.
pub fn config(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    match door::config(text) {
        Ok(shown) => {
            let again = door::config(&shown);
            assert_eq!(again.as_ref(), Ok(&shown), "shown, and read again");
        }
        Err(faults) => assert!(faults.contains("relay.toml"), "no place in: {faults}"),
    }
}

/// Whatever lies beside a datagram is read, and only as far as it is said to go.
pub fn control(input: &[u8]) {
    let mut input = Input(input);
    let length = usize::from(input.byte());
    let mut control = door::Control::default();
    let bytes = input.take(control.bytes.len());
    control.bytes[..bytes.len()].copy_from_slice(bytes);
    let heard = control.heard(length);
    control.bytes.iter_mut().skip(length).for_each(|b| *b = !*b);
    assert_eq!(control.heard(length), heard, "read behind its end");
}

pub fn netlink(input: &[u8]) {
    door::netlink(input);
    let (count, length) = door::attributes(input);
    assert!(count * 4 + length <= input.len(), "more than there was");
}

pub fn firewall(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input) {
        door::firewall(text);
    }
}

/// An error stays what it is in the other family, and the message about it is whole.
pub fn icmp(input: &[u8]) {
    let mut input = Input(input);
    let (v6, wanted_v6) = (input.flag(), input.flag());
    let error = IcmpError {
        kind: input.byte(),
        code: input.byte(),
        mtu: input.long(),
    };
    let other = error.in_family(v6, wanted_v6);
    if error.is_an_error(v6) {
        let sort = |e: IcmpError, v6| {
            [
                e.is_too_big(v6),
                e.is_unreachable(v6),
                e.is_time_exceeded(v6),
            ]
        };
        assert_eq!(sort(error, v6), sort(other, wanted_v6));
        assert!(!error.describe(v6).to_string().is_empty());
    }
    let (client, server) = (input.address(wanted_v6), input.address(wanted_v6));
    let bytes = door::icmp(client, server, other);
    let sum = |bytes: &[u8]| checksum::fold(checksum::sum(bytes));
    if !wanted_v6 {
        assert_eq!((sum(&bytes), sum(&bytes[8..28])), (0xffff, 0xffff));
    }
    let ports = &bytes[if wanted_v6 { 48 } else { 28 }..][..4];
    let expected = [client.port().to_be_bytes(), server.port().to_be_bytes()].concat();
    assert_eq!(
        (&bytes[..2], ports),
        (&[other.kind, other.code][..], &expected[..])
    );
}
