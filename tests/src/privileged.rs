//! What a test needs from its machine. A test that cannot run says why, and fails where `RELAY_REQUIRE_PRIVILEGED=1`.

use std::path::PathBuf;

/// True as root; otherwise prints the skip, or fails it.
pub fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        skip("needs root");
    }
    root
}

/// The XDP object, for a test that may load it.
pub fn xdp_object() -> Option<Vec<u8>> {
    object("relay-xdp.o")
}

/// An object `cargo xtask build` made.
pub fn object(name: &str) -> Option<Vec<u8>> {
    if !is_root() {
        return None;
    }
    let path = target_directory().join("bpf").join(name);
    match std::fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(e) => {
            skip(&format!(
                "{}: {e}; `cargo xtask build` makes it",
                path.display()
            ));
            None
        }
    }
}

/// Where cargo builds this workspace.
pub fn target_directory() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => directory.into(),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target"),
    }
}

/// Says why a test did not run.
pub fn skip(reason: &str) {
    assert!(
        std::env::var("RELAY_REQUIRE_PRIVILEGED").is_err(),
        "may not be skipped here: {reason}"
    );
    eprintln!("skipped: {reason}");
}

/// For a program that cannot do without.
pub fn require_root(what: &str) -> anyhow::Result<()> {
    anyhow::ensure!(
        nix::unistd::geteuid().is_root(),
        "{what} need root; run it as root"
    );
    Ok(())
}
