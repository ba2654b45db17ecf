//! Spellings that are read, and spellings that are refused with a remedy.

use std::time::Duration;

use super::*;

#[test]
fn durations_add_up_and_print_back() {
    for (text, seconds) in [
        ("90s", 90),
        ("10m", 600),
        ("1h", 3600),
        ("1h30m", 5400),
        ("2d", 172_800),
    ] {
        let read = duration(text).expect(text);
        assert_eq!(read, Duration::from_secs(seconds));
        assert_eq!(duration(&duration_text(read)), Ok(read));
    }
    assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
    for bad in [
        "",
        "60",
        "s",
        "1y",
        "-1s",
        "1 s",
        "99999999999999999999s",
        "999999999999999d",
        "1hm",
    ] {
        assert!(duration(bad).is_err(), "{bad:?} was read as a duration");
    }
}

#[test]
fn a_bare_listen_port_means_both_families() {
    assert_eq!(
        listen("3478", Protocol::Udp).unwrap(),
        [
            "0.0.0.0:3478".parse().unwrap(),
            "[::]:3478".parse().unwrap()
        ]
    );
    assert_eq!(
        listen("udp/192.0.2.1:0", Protocol::Udp).unwrap(),
        ["192.0.2.1:0".parse().unwrap()]
    );
    assert!(
        listen("tcp/192.0.2.1:1", Protocol::Udp)
            .unwrap_err()
            .problem
            .contains("tcp")
    );
}

#[test]
fn forward_ports_need_their_protocol() {
    assert_eq!(
        forward_listen("udp/5004"),
        Ok("0.0.0.0:5004".parse().unwrap())
    );
    assert_eq!(
        forward_listen("udp/[::]:5004"),
        Ok("[::]:5004".parse().unwrap())
    );
    for bad in ["5004", "tcp/5004", "udp/", "udp/x:1", "udp/70000"] {
        assert!(forward_listen(bad).is_err(), "{bad:?} was read as a port");
    }
}

#[test]
fn destinations_are_addresses_or_names_with_a_port() {
    for (text, host) in [
        ("media.example.org:5004", "media.example.org"),
        ("192.0.2.1:5004", "192.0.2.1"),
        ("[2001:db8::1]:5004", "2001:db8::1"),
        ("localhost:5004", "localhost"),
    ] {
        let read = destination(text).expect(text);
        assert_eq!(
            (read.host.as_str(), read.to_string().as_str()),
            (host, text)
        );
    }
    for bad in [
        "media",
        "media:0",
        ":1",
        "2001:db8::1:5004",
        "a b:1",
        "1.2.3:4",
        "300.1.1.1:4",
        "[x]:1",
        "-a:1",
        "a..b:1",
    ] {
        assert!(
            destination(bad).is_err(),
            "{bad:?} was read as a destination"
        );
    }
}

#[test]
fn public_hosts_may_have_a_port_and_are_never_urls() {
    for (text, host, port) in [
        ("turn.example.org", "turn.example.org", None),
        ("turn.example.org:3479", "turn.example.org", Some(3479)),
        ("192.0.2.1", "192.0.2.1", None),
        ("2001:db8::1", "2001:db8::1", None),
        ("[2001:db8::1]", "2001:db8::1", None),
        ("[2001:db8::1]:80", "2001:db8::1", Some(80)),
    ] {
        assert_eq!(public_host(text), Ok((host.to_owned(), port)));
    }
    for bad in ["", "turn:a.example", "turn:a:1", "a/b", "a b", "a:0", "[a]"] {
        assert!(public_host(bad).is_err(), "{bad:?} was read as a host");
    }
}

#[test]
fn networks_with_stray_bits_are_refused_with_both_readings() {
    assert_eq!(network("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
    assert_eq!(network("10.1.2.3").unwrap().to_string(), "10.1.2.3/32");
    let fault = network("10.1.2.3/8").unwrap_err();
    assert_eq!(fault.remedy, "write 10.0.0.0/8 or 10.1.2.3/32");
}

#[test]
fn port_ranges_are_in_order_and_not_zero() {
    assert_eq!(ports("49152-65535"), Ok(49152..=65535));
    for bad in ["5", "0-9", "9-5", "1-70000", "a-b"] {
        assert!(ports(bad).is_err(), "{bad:?} was read as a range");
    }
}

#[test]
fn a_mistyped_log_level_is_no_target() {
    for good in [
        "info",
        "WARN",
        "off",
        "warn,relay_userspace::turn=debug",
        "relay_userspace=trace",
    ] {
        assert_eq!(log_level(good), Ok(good.to_owned()));
    }
    for bad in ["", "loud", "inof,relay_userspace=debug", "a=b=c"] {
        assert!(log_level(bad).is_err(), "{bad:?} was read as a level");
    }
}
