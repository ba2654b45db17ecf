//! Puts the XDP object `cargo xtask build` made where `fastpath/object.rs` embeds it; an empty file when there is
//! none, so that `cargo check` works without the BPF toolchain.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-env-changed=RELAY_XDP_OBJECT");
    println!("cargo:rerun-if-env-changed=CARGO_TARGET_DIR");
    let object = object();
    println!("cargo:rerun-if-changed={}", object.display());
    let embedded =
        PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("relay-xdp.o");
    let bytes = fs::read(&object).unwrap_or_default();
    // Unchanged it is left alone, or every build would compile the crate again.
    if fs::read(&embedded).ok().as_ref() != Some(&bytes) {
        fs::write(&embedded, bytes).unwrap_or_else(|e| panic!("write {}: {e}", embedded.display()));
    }
}

fn object() -> PathBuf {
    if let Some(path) = env::var_os("RELAY_XDP_OBJECT") {
        return path.into();
    }
    let target = match env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => PathBuf::from(directory),
        None => {
            PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"))
                .join("../target")
        }
    };
    target.join("bpf/relay-xdp.o")
}
