//! `lab run`, which `cargo xtask run` hands over to: media in the kernel, and a video call that UDP is cut under and restored.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use relay_tests::eventually::within;
use relay_tests::interop::Tools;
use relay_tests::interop::share::{Share, side_by_side};
use relay_tests::privileged;
use serde_json::Value;

/// `false`, with the reason said: not root, nothing built, no ffmpeg.
fn can_run() -> bool {
    privileged::xdp_object().is_some() && Tools::or_skip(&["ffmpeg"]).is_some()
}

fn run(arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command.arg("run").args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(Stdio::piped()).spawn().unwrap()
}

/// What it says, up to the line with `mark`.
fn read_until(said: &mut impl BufRead, mark: &str) -> String {
    let mut all = String::new();
    while !all.lines().next_back().unwrap_or_default().contains(mark) {
        let more = said.read_line(&mut all).unwrap();
        assert!(more > 0, "it ended before {mark:?}:\n{all}");
    }
    all
}

fn namespaces_of(child: &Child) -> Vec<String> {
    names_in(Path::new("/run/netns"), &format!("relay-{}-", child.id()))
}

fn folders_of(child: &Child) -> Vec<String> {
    let prefix = format!("relay-lab-{}-", child.id());
    names_in(&std::env::temp_dir(), &prefix)
}

fn names_in(folder: &Path, prefix: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| name.starts_with(prefix)).collect()
}

#[test]
fn once_relays_media_and_a_call_that_survives_a_cut_of_udp_and_returns() {
    if !can_run() {
        return;
    }
    // Nothing may be lost: two cores carry one set of real-time media.
    let _machine = Share::whole();
    let lab = run(&["--once", "--json", "--seconds", "5"]);
    let output = lab.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    println!("{report}");
    let number = |key: &str| report[key].as_f64().unwrap_or_else(|| panic!("no {key}"));
    assert!(number("kernel_share") >= 0.99);
    assert!(number("relayed_packets") > 0.0);
    assert_eq!((number("lost_packets"), number("duplicated")), (0.0, 0.0));
    // UDP is silent for 0.7 s before anything is sent elsewhere: that cannot be had for nothing.
    assert!((500.0..=5000.0).contains(&number("app_gap_ms")));
    assert!(number("switch_to_tcp_ms") >= 1000.0);
    assert!(number("lost") > 0.0 && number("lost_on_return") == 0.0);
    // It was on TLS for 6 s before UDP passed again, and stays there for 15.
    assert!(number("switch_to_udp_ms") >= 5000.0);
    assert!(number("pictures") > number("pictures_over_tls") && number("pictures_over_tls") > 0.0);
    for turn in ["UDP is cut", "on TLS", "UDP passes again", "back on UDP"] {
        assert!(said.contains(turn), "{turn}:\n{said}");
    }
}

#[test]
fn once_fails_where_the_video_never_leaves_udp() {
    if !can_run() {
        return;
    }
    let _share = Share::one();
    let mut lab = run(&["--once", "--json", "--seconds", "1"]);
    let mut said = BufReader::new(lab.stderr.take().unwrap());
    let before = read_until(&mut said, "UDP is cut");
    // It tells how it cuts; somebody undoes that at once.
    let router = before.rsplit("ip netns exec ").next().unwrap();
    let router = router.split(' ').next().unwrap();
    let undo = ["nft", "flush", "chain", "inet", "router", "forward"];
    let mut command = Command::new("ip");
    command.args(["netns", "exec", router]).args(undo);
    assert!(command.status().unwrap().success());

    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    let output = lab.wait_with_output().unwrap();
    assert!(!output.status.success(), "{rest}");
    assert!(rest.contains("the video never switched to TLS"), "{rest}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["switch_to_tcp_ms"], Value::Null);
}

#[test]
fn ended_in_mid_call_it_leaves_no_namespace_no_process_and_no_folder() {
    if !can_run() {
        return;
    }
    let once: &[&str] = &["--once", "--seconds", "1"];
    let ends = vec![
        (&[][..], Signal::SIGINT, true),
        (once, Signal::SIGINT, false),
        (once, Signal::SIGKILL, false),
    ];
    side_by_side(ends, |(arguments, signal, well)| {
        let _share = Share::one();
        leaves_nothing(arguments, signal, well);
        Ok(())
    })
    .unwrap();
}

fn leaves_nothing(arguments: &[&str], signal: Signal, well: bool) {
    let mut lab = run(arguments);
    let mut said = BufReader::new(lab.stderr.take().unwrap());
    read_until(&mut said, "UDP is cut");
    let namespaces = namespaces_of(&lab);
    assert!(namespaces.len() >= 5, "{namespaces:?}");
    assert!(!folders_of(&lab).is_empty());
    let inside = processes_in(&namespaces);
    assert!(
        inside.len() >= 6,
        "relay, connector, four ffmpegs: {inside:?}"
    );
    kill(Pid::from_raw(lab.id() as i32), signal).unwrap();
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!(lab.wait().unwrap().success(), well, "{rest}");
    let told = rest.contains("interrupted before the end");
    assert_eq!(told, signal == Signal::SIGINT && !well, "{rest}");
    within(Duration::from_secs(30), "everything vanishes", || {
        let gone = inside.iter().all(|pid| !is_alive(*pid));
        (gone && namespaces_of(&lab).is_empty() && folders_of(&lab).is_empty()).then_some(())
    })
    .unwrap();
}

fn processes_in(namespaces: &[String]) -> Vec<u32> {
    let pids = |name: &String| {
        let output = Command::new("ip").args(["netns", "pids", name]).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let all: Vec<String> = namespaces.iter().map(pids).collect();
    let numbers = all.iter().flat_map(|pids| pids.split_whitespace());
    numbers.map(|pid| pid.parse().unwrap()).collect()
}

/// A dead one that nobody has waited for does not count.
fn is_alive(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let state = status.lines().find_map(|line| line.strip_prefix("State:"));
    state.is_some_and(|state| !state.trim().starts_with('Z'))
}
