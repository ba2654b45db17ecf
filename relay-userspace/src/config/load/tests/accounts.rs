//! Accounts: groups of secrets, the hook, tokens.

use super::*;

#[test]
fn accounts_are_read_with_their_files_and_shown_without_their_secrets() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let secrets = file("secrets", "# rotated\nnew\nold\n");
    let key = file("key", "0123456789abcdef0123456789abcdef\n");
    let text = format!(
        "[auth]\nstrict_expiry = true\n[[auth.shared]]\nid = \"web\"\nfile = {secrets:?}\nbits = \"1M\"\n\
         [auth.hook]\nurl = \"https://id.example/ask\"\n\
         [auth.jwt]\nissuer = \"id\"\n[[auth.jwt.keys]]\nkid = \"a\"\nalgorithm = \"HS256\"\nfile = {key:?}\n"
    );
    let settings = read(&text).unwrap();
    let auth = &settings.config.auth;
    assert_eq!(auth.shared[0].secrets.len(), 2);
    assert_eq!(
        settings.config.rates.groups["web"].bits_per_second,
        Some(1_000_000)
    );
    assert!(auth.strict_expiry && auth.hook.is_some());
    assert_eq!(
        settings.files.len(),
        3,
        "the configuration, secrets and key are watched"
    );
    let shown = show::toml(&settings).to_string();
    assert!(
        !shown.contains("old") && !shown.contains("0123456789"),
        "{shown}"
    );
}

/// Line and key of every fault, and how its text begins.
fn assert_faults(text: &str, starts: &[&str]) {
    let told = faults(text);
    assert_eq!(told.len(), starts.len(), "{told:#?}");
    for (fault, start) in told.iter().zip(starts) {
        assert!(fault.starts_with(start), "{start}: {told:#?}");
    }
}

#[test]
fn accounts_that_cannot_work_are_faults() {
    assert_faults(
        "[[auth.shared]]\nid = \"default\"\nsecrets = [\"\"]\n[auth.hook]\nurl = \"ftp://x\"\n\
         [auth.jwt]\nissuer = \"i\"\n[[auth.jwt.keys]]\nkid = \"a\"\nalgorithm = \"none\"\nfile = \"x\"\n",
        &[
            "1: auth.shared[0]: default names other secrets",
            "1: auth.shared[0]: default has no secret",
            "5: auth.hook.url: is not the address of a web server",
            "10: auth.jwt.keys[0].algorithm: \"none\"",
        ],
    );
}

#[test]
fn a_fault_of_the_hook_names_its_line_and_key() {
    let directory = tempfile::tempdir().unwrap();
    let spaced = directory.path().join("token");
    std::fs::write(&spaced, "two words\n").unwrap();
    let text = format!(
        "[auth.hook]\nurl = \"https://h\"\ntimeout = \"31s\"\ncache_ttl = \"0s\"\n\
         negative_ttl = \"2d\"\ncache_entries = 0\nmax_concurrent = 100000\n\
         questions_per_second = 0\ntoken_file = {spaced:?}\n"
    );
    let token = format!(
        "9: auth.hook.token_file: {} holds no token",
        spaced.display()
    );
    assert_faults(
        &text,
        &[
            "3: auth.hook.timeout: 31s is no time to wait: write 1ms up to 30s",
            "4: auth.hook.cache_ttl: 0s is no time to wait: write 1ms up to 1d",
            "5: auth.hook.negative_ttl: 2d is no time to wait",
            "6: auth.hook.cache_entries: 0 is out of range: write 1 to 10000000",
            "7: auth.hook.max_concurrent: 100000 is out of range",
            "8: auth.hook.questions_per_second: 0 is out of range",
            &token,
        ],
    );
    assert_faults(
        "[auth.hook]\nurl = \"https://h\"\n\ntoken_file = \"/nowhere/t\"\n",
        &["4: auth.hook.token_file: /nowhere/t cannot be read (No such file"],
    );
    assert_faults(
        "[auth.hook]\ntimeout = \"1s\"\n",
        &["1: auth.hook: url is missing"],
    );
}

#[test]
fn a_fault_of_the_tokens_keys_names_its_line_and_key() {
    let directory = tempfile::tempdir().unwrap();
    let short = directory.path().join("key");
    std::fs::write(&short, "short\n").unwrap();
    let text = format!(
        "[auth.jwt]\nissuer = \"i\"\nclock_skew = \"6m\"\n\
         [[auth.jwt.keys]]\nkid = \"a\"\nalgorithm = \"HS256\"\nfile = {short:?}\n\
         [[auth.jwt.keys]]\nkid = \"a\"\nalgorithm = \"EdDSA\"\nfile = \"/nowhere/k\"\n\
         [[auth.jwt.keys]]\nkid = \"b\"\n"
    );
    let key = format!(
        "7: auth.jwt.keys[0].file: {} is shorter than 32 bytes",
        short.display()
    );
    assert_faults(
        &text,
        &[
            "3: auth.jwt.clock_skew: 6m is more than 5m",
            &key,
            "9: auth.jwt.keys[1].kid: a is there twice",
            "11: auth.jwt.keys[1].file: /nowhere/k cannot be read",
            "12: auth.jwt.keys[2]: algorithm is missing",
            "12: auth.jwt.keys[2]: file is missing",
        ],
    );
    assert_faults(
        "[auth.jwt]\nissuer = \"i\"\n",
        &["1: auth.jwt: there is no key"],
    );
}
