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

fn check(file: Option<&Path>, json: bool) -> Result<(), Failure> {
    let file = file.unwrap_or(Path::new(defaults::CONFIG_FILE));
    let checked = load(Layers::only_file(file));
    if json {
        let faults = checked.as_ref().err().cloned().unwrap_or_default();
        let Faults(list) = &faults;
        output::json(&serde_json::json!({ "file": file, "ok": checked.is_ok(), "faults": list }))?;
        return match checked {
            Ok(_) => Ok(()),
            Err(_) => Err(Failure::silent(Exit::BadConfig)),
        };
    }
    checked?;
    output::line(&format!("{}: no faults", file.display()))
}
