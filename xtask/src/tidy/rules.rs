//! The rules of `tidy`. Each says what it wants in its fault.

use super::Source;

const LINES: usize = 400;
const TEST_LINES: usize = 600;
const ARCHITECTURE_LINES: usize = 200;

/// Where `unsafe` is allowed: what talks to the kernel in its own shapes.
const UNSAFE: [&str; 14] = [
    "relay-common/src/engine/head.rs",
    "relay-common/src/layout.rs",
    "relay-ebpf/src/",
    "relay-userspace/src/doctor/read/adjtimex.rs",
    "relay-userspace/src/fastpath/shared.rs",
    "relay-userspace/src/net/fragment.rs",
    "relay-userspace/src/net/message.rs",
    "relay-userspace/src/net/readable.rs",
    "relay-userspace/src/net/stream/kernel.rs",
    "tests/src/engine.rs",
    "tests/src/netns.rs",
    "tests/src/bench/packet.rs",
    "tests/src/socket_option.rs",
    "tests/src/wire.rs",
];

/// The protocol is sans-IO: bytes and a given now in, commands out.
const SANS_IO: &str = "relay-userspace/src/turn";
const IO_WORDS: [&str; 6] = [
    "::now()",
    "tokio",
    "UdpSocket",
    "TcpStream",
    "getrandom",
    "std::thread",
];

/// Split, so that this file does not match itself.
const UNFINISHED: [&str; 4] = [
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("#[", "ignore"),
    concat!("FIX", "ME"),
];
const MACHINE_PATHS: [&str; 3] = [
    concat!("/wo", "rk/"),
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
];

/// Faults of one file by itself.
pub fn of_a_file(source: &Source) -> Vec<String> {
    let mut faults = words(source, &MACHINE_PATHS, "a path of one machine");
    if source.path == "ARCHITECTURE.md" {
        faults.extend(longer_than(source, ARCHITECTURE_LINES));
    }
    if !source.path.ends_with(".rs") {
        return faults;
    }
    faults.extend(longer_than(
        source,
        if is_test(&source.path) {
            TEST_LINES
        } else {
            LINES
        },
    ));
    if !source.text.starts_with("//!") {
        faults.push(format!(
            "{}:1: opens without `//!`: what is it, and what does it never do?",
            source.path
        ));
    }
    if source.path.ends_with("/mod.rs") {
        faults.push(format!(
            "{}: `foo.rs` beside `foo/`, never mod.rs",
            source.path
        ));
    }
    faults.extend(words(source, &UNFINISHED, "unfinished"));
    if source.path.starts_with(SANS_IO) && !is_test(&source.path) {
        let shipped = Source {
            path: source.path.clone(),
            text: without_tests(&source.text).to_owned(),
        };
        faults.extend(words(
            &shipped,
            &IO_WORDS,
            "input, output or time inside the protocol",
        ));
    }
    if !UNSAFE.iter().any(|place| source.path.starts_with(place)) {
        faults.extend(unsafe_lines(source));
    }
    faults
}

/// Faults between files.
pub fn of_the_tree(sources: &[Source]) -> Vec<String> {
    let find = |path: &str| sources.iter().find(|source| source.path == path);
    let documented = find("docs/metrics.md").map_or("", |source| source.text.as_str());
    let counters = find("relay-common/src/counter.rs").map_or("", |source| source.text.as_str());
    let undocumented =
        counter_names(counters).filter(|name| !documented.contains(&format!("`{name}`")));
    undocumented
        .map(|name| format!("docs/metrics.md: counter `{name}` of relay-common is not described"))
        .collect()
}

/// Lines of the table `Variant, "name", "text";`.
fn counter_names(text: &str) -> impl Iterator<Item = &str> {
    let rows = text
        .lines()
        .map(str::trim)
        .filter(|line| line.ends_with("\";"));
    rows.filter_map(|line| line.split('"').nth(1))
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("tests.rs") || path.starts_with("tests/src/cases")
}

/// Tests may read the clock, to start virtual time from.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or(text)
}

fn longer_than(source: &Source, limit: usize) -> Option<String> {
    let lines = source.text.lines().count();
    (lines > limit).then(|| {
        format!(
            "{}: {lines} lines, {limit} is the limit: which second concept is in here?",
            source.path
        )
    })
}

fn words(source: &Source, words: &[&str], why: &str) -> Vec<String> {
    let hit = |(index, line): (usize, &str)| {
        let word = words.iter().find(|word| line.contains(**word))?;
        Some(format!("{}:{}: {why}: `{word}`", source.path, index + 1))
    };
    source
        .text
        .lines()
        .enumerate()
        .filter(|(_, line)| !is_comment(line) || why.contains("path"))
        .filter_map(hit)
        .collect()
}

fn unsafe_lines(source: &Source) -> Vec<String> {
    let code = |line: &str| !is_comment(line) && !line.contains("unsafe_") && !line.contains('"');
    let keyword = concat!("un", "safe ");
    let lines = source
        .text
        .lines()
        .enumerate()
        .filter(|(_, line)| code(line) && line.contains(keyword));
    lines
        .map(|(index, _)| {
            format!(
                "{}:{}: unsafe outside the files listed in tidy",
                source.path,
                index + 1
            )
        })
        .collect()
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(path: &str, text: &str) -> usize {
        of_a_file(&Source {
            path: path.to_owned(),
            text: text.to_owned(),
        })
        .len()
    }

    #[test]
    fn a_file_with_a_header_is_tidy() {
        assert_eq!(faults("a/src/b.rs", "//! What it is.\nfn main() {}\n"), 0);
    }

    #[test]
    fn a_file_without_a_header_is_not() {
        assert_eq!(faults("a/src/b.rs", "fn main() {}\n"), 1);
    }

    #[test]
    fn the_protocol_may_not_read_the_clock() {
        let text = "//! Timers.\nlet now = Instant::now();\n";
        assert_eq!(
            (
                faults("relay-userspace/src/turn/timer.rs", text),
                faults("relay-userspace/src/net.rs", text)
            ),
            (1, 0)
        );
    }

    #[test]
    fn a_long_file_hides_a_second_concept() {
        assert_eq!(
            faults("a/src/b.rs", &format!("//! Long.\n{}", "\n".repeat(LINES))),
            1
        );
    }

    #[test]
    fn a_counter_nobody_can_look_up_is_a_fault() {
        let table = Source {
            path: "relay-common/src/counter.rs".into(),
            text: "    A, \"a\", \"Text.\";\n    B, \"b\", \"Text.\";".into(),
        };
        let docs = Source {
            path: "docs/metrics.md".into(),
            text: "`a` is a counter".into(),
        };
        assert_eq!(of_the_tree(&[table, docs]).len(), 1);
    }
}
