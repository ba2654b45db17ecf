//! `mutate`: breaks the relay on purpose, one way at a time, in a copy; every way must make a fast test fail.

mod data_path;
mod list;
mod userspace;
mod userspace_list;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::{shell, tree};

#[derive(clap::Args)]
pub struct Options {
    /// What to break
    #[arg(long, value_enum, default_value = "data-path")]
    kind: Kind,
    /// Only those whose description contains this
    only: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Packets: `relay-common`
    DataPath,
    /// What decides about them, and what operators rely on: `relay-userspace`
    Userspace,
}

/// A text that must stand once in its file, and what comes in its place.
struct Mutation {
    /// Below the crate's `src`.
    file: &'static str,
    what: &'static str,
    from: &'static str,
    to: &'static str,
    /// Words in the names of the tests that must notice; none: any test.
    about: &'static str,
}

/// The copy that is broken.
struct Patient {
    kind: Kind,
    copy: PathBuf,
}

pub fn task(options: &Options) -> Result<()> {
    let patient = Patient::new(options.kind)?;
    shell::step("test the copy as it is", &mut patient.test(""))?;
    let all = match options.kind {
        Kind::DataPath => list::MUTATIONS,
        Kind::Userspace => userspace_list::MUTATIONS,
    };
    let wanted = |m: &&Mutation| options.only.as_ref().is_none_or(|o| m.what.contains(o));
    let (mut tried, mut survivors) = (0, Vec::new());
    for mutation in all.iter().filter(wanted) {
        tried += 1;
        let killed = patient.dies_of(mutation)?;
        shell::say(&format!(
            "  {}: {}",
            if killed { "found" } else { "NOT FOUND" },
            mutation.what
        ));
        if !killed {
            survivors.push(mutation.what);
        }
    }
    ensure!(tried > 0, "no mutation is called so");
    match survivors.is_empty() {
        true => Ok(()),
        false => bail!("no test fails when: {}", survivors.join("; ")),
    }
}

impl Patient {
    fn new(kind: Kind) -> Result<Self> {
        let name = match kind {
            Kind::DataPath => "mutate",
            Kind::Userspace => "mutate-userspace",
        };
        let copy = tree::target().join(name);
        fs::create_dir_all(&copy)?;
        match kind {
            Kind::DataPath => data_path::make(&copy)?,
            Kind::Userspace => userspace::make(&copy)?,
        }
        Ok(Self { kind, copy })
    }

    fn sources(&self) -> PathBuf {
        self.copy.join(match self.kind {
            Kind::DataPath => "relay-common/src",
            Kind::Userspace => "relay-userspace/src",
        })
    }

    fn test(&self, about: &str) -> Command {
        match self.kind {
            Kind::DataPath => data_path::test(&self.copy),
            Kind::Userspace => userspace::test(&self.copy, about),
        }
    }

    fn dies_of(&self, mutation: &Mutation) -> Result<bool> {
        let path = self.sources().join(mutation.file);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let count = text.matches(mutation.from).count();
        ensure!(
            count == 1,
            "`{}` is {count} times in {}: say in xtask/src/mutate what is meant",
            mutation.from,
            mutation.file
        );
        write(&path, &text.replace(mutation.from, mutation.to))?;
        let tested = self.notices(mutation);
        write(&path, &text)?;
        tested
    }

    /// Whether a test fails, and not the compiler.
    fn notices(&self, mutation: &Mutation) -> Result<bool> {
        let output = self
            .test(mutation.about)
            .stdin(Stdio::null())
            .output()
            .context("start cargo")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            !said.contains("could not compile"),
            "{}: it does not compile:\n{said}",
            mutation.what
        );
        Ok(!output.status.success())
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

fn copy_all(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_all(&entry.path(), &place)?,
            false => {
                fs::create_dir_all(to)?;
                fs::copy(entry.path(), place)?;
            }
        }
    }
    Ok(())
}
