//! `relay top` on a real terminal (that of `script`): it shows, it ends, and it gives the terminal back.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use relay_tests::eventually::eventually;
use relay_tests::relay::{Relay, binary};

const LEAVES_ALTERNATE_SCREEN: &str = "\u{1b}[?1049l";

fn relay() -> Relay {
    let local = [
        "--listen",
        "udp/127.0.0.1:0",
        "--relay-address",
        "127.0.0.1",
        "--workers",
        "1",
    ];
    Relay::spawn(Command::new(binary()), &local).unwrap()
}

/// `relay top` under `script`, which writes what the terminal is sent into `transcript`.
fn top(relay: &Relay, transcript: &std::path::Path) -> Child {
    let socket = relay
        .ready
        .split(' ')
        .find_map(|word| word.strip_prefix("admin="))
        .unwrap();
    let command = format!(
        "stty rows 24 cols 80; exec {} --admin-socket {socket} top",
        binary().display()
    );
    Command::new("script")
        .args(["--quiet", "--flush", "--return", "--command", &command])
        .arg(transcript)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn top_shows_the_relay_ends_by_q_and_by_a_signal_and_restores_the_terminal() {
    let relay = relay();
    let directory = tempfile::tempdir().unwrap();
    for by_signal in [false, true] {
        let transcript = directory.path().join(format!("transcript-{by_signal}"));
        let mut child = top(&relay, &transcript);
        let shown = || {
            String::from_utf8_lossy(&std::fs::read(&transcript).unwrap_or_default()).into_owned()
        };
        eventually("the keys are shown", || shown().contains("q quit")).unwrap();
        match by_signal {
            false => child.stdin.as_mut().unwrap().write_all(b"q").unwrap(),
            true => terminate_child_of(child.id()),
        }
        let status = relay_tests::eventually::within(Duration::from_secs(10), "top ends", || {
            child.try_wait().ok().flatten()
        });
        assert_eq!(status.unwrap().code(), Some(0), "{}", shown());
        assert!(shown().contains(LEAVES_ALTERNATE_SCREEN), "{:?}", shown());
    }
}

/// SIGTERM to the one process that `parent` started.
fn terminate_child_of(parent: u32) {
    let children =
        std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    let pid = children.trim().parse().unwrap();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(pid),
        nix::sys::signal::Signal::SIGTERM,
    )
    .unwrap();
}

#[test]
fn without_a_terminal_top_exits_64_with_advice() {
    let done = Command::new(binary())
        .arg("top")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(done.status.code(), Some(64));
    assert!(
        String::from_utf8_lossy(&done.stderr).contains("relay session list"),
        "{done:?}"
    );
}
