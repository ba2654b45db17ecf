//! `tidy`: how the tree must read, checked. A rule is a function from files to faults; nothing is changed.

mod rules;

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::{shell, tree};

/// One tracked text file.
pub struct Source {
    /// Relative to the workspace.
    pub path: String,
    pub text: String,
}

pub fn task() -> Result<()> {
    let faults = faults(tree::root())?;
    for fault in &faults {
        shell::say(fault);
    }
    match faults.len() {
        0 => Ok(()),
        count => bail!("{count} things are untidy"),
    }
}

fn faults(root: &Path) -> Result<Vec<String>> {
    let sources = sources(root)?;
    let mut faults: Vec<String> = sources.iter().flat_map(rules::of_a_file).collect();
    faults.extend(rules::of_the_tree(&sources));
    Ok(faults)
}

/// Every text file that is tracked or could be; what git ignores does not count.
fn sources(root: &Path) -> Result<Vec<Source>> {
    let root_text = root
        .to_str()
        .context("the path of this tree is not UTF-8")?;
    let files = [
        "-C",
        root_text,
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
    ];
    let listing =
        shell::read("git", &files).context("git cannot list this tree; tidy needs a clone")?;
    let read = |path: &str| {
        let text = std::fs::read_to_string(root.join(path)).ok()?;
        Some(Source {
            path: path.to_owned(),
            text,
        })
    };
    Ok(listing.lines().filter_map(read).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_tree_is_tidy() {
        let faults = super::faults(crate::tree::root()).expect("the tree can be read");
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
}
