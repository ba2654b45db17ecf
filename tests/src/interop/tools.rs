//! Where the foreign programs are, and what to say when one is missing. Installs nothing: `cargo xtask setup --tests` does.

use std::path::{Path, PathBuf};

use crate::privileged;

/// The programs one test needs, all of them present.
#[derive(Debug, Clone)]
pub struct Tools {
    folder: PathBuf,
}

impl Tools {
    /// Is everything there? If not, says why the test is skipped, or fails where skipping is forbidden.
    ///
    /// `python:NAME` is a module of the venv, `node:NAME` one of `node_modules`, anything else a program on `PATH`.
    pub fn or_skip(needs: &[&str]) -> Option<Self> {
        // Root, and the program that the lab puts on the outer ends.
        privileged::object("lab-xdp.o")?;
        Self::without_kernel(needs)
    }

    /// The same for a test that loads no program.
    pub fn without_kernel(needs: &[&str]) -> Option<Self> {
        if !privileged::is_root() {
            return None;
        }
        let named = std::env::var_os("RELAY_TOOLS_DIR").map(PathBuf::from);
        let tools = Self {
            folder: named.unwrap_or_else(|| privileged::target_directory().join("tools")),
        };
        let always = ["ip", "ethtool", "setpriv", "timeout"];
        let wanted = always.iter().chain(needs);
        let missing: Vec<_> = wanted.filter(|need| !tools.has(need)).copied().collect();
        if missing.is_empty() {
            return Some(tools);
        }
        privileged::skip(&format!(
            "{} missing (looked in PATH and {}); `cargo xtask setup --tests` installs it",
            missing.join(", "),
            tools.folder.display()
        ));
        None
    }

    pub fn python(&self) -> PathBuf {
        self.folder.join("venv/bin/python")
    }

    pub fn node_modules(&self) -> PathBuf {
        self.folder.join("node_modules")
    }

    /// A file of `tests/interop`.
    pub fn script(name: &str) -> PathBuf {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
        tests.join("interop").join(name)
    }

    fn has(&self, need: &str) -> bool {
        if let Some(module) = need.strip_prefix("node:") {
            let package = self.node_modules().join(module).join("package.json");
            return package.exists();
        }
        if let Some(module) = need.strip_prefix("python:") {
            return has_python_module(&self.folder.join("venv/lib"), module);
        }
        on_path(need)
    }
}

fn has_python_module(lib: &Path, module: &str) -> bool {
    let Ok(versions) = lib.read_dir() else {
        return false;
    };
    let mut packages = versions.flatten().map(|v| v.path().join("site-packages"));
    packages.any(|folder| folder.join(module).is_dir())
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
