//! `relay config check` and `relay config show`. Reads only; starts and writes nothing.

use std::path::Path;

use super::args::{Config, Global};
use super::exit::{Exit, Failure};
use super::{flags, output};
use crate::config::{Faults, Layers, defaults, load, show};

pub fn run(global: &Global, command: Config) -> Result<(), Failure> {
    match command {
        Config::Check { file, read } => check(file.as_deref(), read.json),
        Config::Show { flags, read } => {
            let settings = flags::settings(global, &flags)?;
            match read.json {
                true => output::json(&show::json(&settings)),
                false => output::line(show::toml(&settings).to_string().trim_end()),
            }
        }
    }
}

/// Without a name it looks where `relay serve` does, and like it is content when there is nothing.
fn check(named: Option<&Path>, json: bool) -> Result<(), Failure> {
    let checked = load(Layers::only_file(named));
    let file = named.unwrap_or(Path::new(defaults::CONFIG_FILE));
    if json {
        let faults = checked.as_ref().err().cloned().unwrap_or_default();
        let warnings = checked
            .as_ref()
            .map_or(&[][..], |settings| &settings.warnings);
        let Faults(list) = &faults;
        output::json(&serde_json::json!({
            "file": file, "ok": checked.is_ok(), "faults": list, "warnings": warnings,
        }))?;
        return match checked {
            Ok(_) => Ok(()),
            Err(_) => Err(Failure::silent(Exit::BadConfig)),
        };
    }
    let settings = checked?;
    for warning in &settings.warnings {
        output::line(&format!("warning: {warning}"))?;
    }
    let file = file.display();
    match settings.file {
        Some(_) => output::line(&format!("{file}: no faults")),
        None => output::line(&format!(
            "{file}: does not exist; the defaults are used, and they have no faults"
        )),
    }
}
