//! The browser's SDK as a package: its unit tests, its types, and what npm would publish.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use relay_tests::interop::Tools;

fn sdk() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../relay-userspace/sdk")
}

fn run(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    let Output {
        status,
        stdout,
        stderr,
    } = command.args(arguments).current_dir(sdk()).output().unwrap();
    let [said, wrong] = [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(status.success(), "{command:?}: {said}{wrong}");
    said
}

#[test]
fn its_own_tests_pass() {
    if Tools::or_skip(&["node"]).is_none() {
        return;
    }
    let said = run("node", &["--test", "test/"]);
    let count = |word: &str| {
        let line = said.lines().find_map(|line| {
            let words = line.trim_start_matches(|c: char| !c.is_ascii_alphabetic());
            words.strip_prefix(word)?.trim().parse::<u32>().ok()
        });
        line.unwrap_or_else(|| panic!("no {word} in {said}"))
    };
    assert!(count("pass ") > 20 && count("fail ") == 0, "{said}");
}

#[test]
fn its_types_hold() {
    let Some(tools) = Tools::or_skip(&["node", "node:typescript"]) else {
        return;
    };
    let checker = tools.node_modules().join("typescript/bin/tsc");
    let checker = checker.to_str().expect("a path of text");
    run("node", &[checker, "--project", "jsconfig.json"]);
}

#[test]
fn its_package_holds_the_module_and_nothing_else() {
    if Tools::or_skip(&["npm"]).is_none() {
        return;
    }
    let said = run("npm", &["pack", "--dry-run", "--json", "--silent"]);
    let packed: serde_json::Value = serde_json::from_str(&said).unwrap();
    let files = packed[0]["files"].as_array().expect("files");
    let mut names: Vec<_> = files
        .iter()
        .map(|file| file["path"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    let mut wanted: Vec<_> = std::fs::read_dir(sdk().join("src"))
        .unwrap()
        .map(|file| format!("src/{}", file.unwrap().file_name().to_str().unwrap()))
        .chain(["README.md", "package.json"].map(str::to_owned))
        .collect();
    wanted.sort_unstable();
    assert_eq!(names, wanted);
    let unpacked = packed[0]["unpackedSize"].as_u64().unwrap();
    assert!(unpacked < 100_000, "{unpacked} bytes");
}
