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

#[test]
fn accounts_that_cannot_work_are_faults() {
    let told = faults(
        "[[auth.shared]]\nid = \"default\"\nsecrets = [\"\"]\n[auth.hook]\nurl = \"ftp://x\"\n\
         [auth.jwt]\nissuer = \"i\"\n[[auth.jwt.keys]]\nkid = \"a\"\nalgorithm = \"none\"\nfile = \"x\"\n",
    );
    let starts = [
        "1: auth.shared[0]: default names other secrets",
        "1: auth.shared[0]: default has no secret",
        "5: auth.hook.url: is not the address of a web server",
        "6: auth.jwt: there is no key",
        "10: auth.jwt.keys[0].algorithm: \"none\"",
    ];
    assert_eq!(told.len(), starts.len(), "{told:#?}");
    for (fault, start) in told.iter().zip(starts) {
        assert!(fault.starts_with(start), "{told:#?}");
    }
}
