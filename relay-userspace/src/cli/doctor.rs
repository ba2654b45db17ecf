//! `relay doctor`: asks the running relay who it is, lets the doctor look, prints what it found.

use super::args::Global;
use super::exit::{Exit, Failure};
use super::flags::{self, ServeFlags};
use super::{client, output};
use crate::api::StatusReport;
use crate::config::fault::Wrong;
use crate::config::{Config, Faults};
use crate::doctor::{self, Finding, Plan, State};

/// Fails when a finding does.
pub async fn doctor(global: &Global, flags: &ServeFlags, json: bool) -> Result<(), Failure> {
    let (config, configuration) = match flags::settings(global, flags) {
        Ok(settings) => (
            settings.config,
            settings.warnings.iter().map(of_warning).collect(),
        ),
        Err(Faults(faults)) => (Config::default(), faults.iter().map(of_fault).collect()),
    };
    let running: Option<StatusReport> = client::client(global).get("/v1/status").await.ok();
    let plan = Plan {
        config,
        configuration,
        relay_pid: running.map(|report| report.status.pid),
    };
    let findings = doctor::examine(&doctor::host(plan).await);
    match json {
        true => output::json(&findings)?,
        false => output::line(&human(&findings))?,
    }
    match findings.iter().any(|finding| finding.state == State::Fail) {
        true => Err(Failure::silent(Exit::Failed)),
        false => Ok(()),
    }
}

fn of_warning(warning: &Wrong) -> Finding {
    Finding::warn(
        "configuration",
        "relay serve",
        &warning.problem,
        &warning.remedy,
    )
}

fn of_fault(fault: &crate::config::Fault) -> Finding {
    let subject = match fault.key.as_str() {
        "" => fault.origin.to_string(),
        key => key.to_owned(),
    };
    Finding::fail(
        "configuration",
        subject,
        format!("{}: {}", fault.origin, fault.problem),
        &fault.remedy,
    )
}

/// A table of what was found, then what to do, numbered by the worst first.
fn human(findings: &[Finding]) -> String {
    let rows: Vec<_> = findings
        .iter()
        .map(|finding| {
            let state = match finding.state {
                State::Ok => "ok",
                State::Warn => "WARN",
                State::Fail => "FAIL",
            };
            vec![
                state.to_owned(),
                finding.check.clone(),
                finding.subject.clone(),
                finding.found.clone(),
            ]
        })
        .collect();
    let mut text = output::table(&["STATE", "CHECK", "SUBJECT", "FOUND"], &rows);
    let mut bad: Vec<_> = findings
        .iter()
        .filter(|finding| finding.state != State::Ok)
        .collect();
    bad.sort_by_key(|finding| std::cmp::Reverse(finding.state));
    let count = |state| bad.iter().filter(|finding| finding.state == state).count();
    text.push_str(&format!(
        "\n\n{} to mend, {} to know",
        count(State::Fail),
        count(State::Warn)
    ));
    for finding in bad {
        let remedy = finding.remedy.as_deref().unwrap_or_default();
        text.push_str(&format!(
            "\n{} {} {}: {remedy}",
            finding.state.name(),
            finding.check,
            finding.subject
        ));
    }
    text
}
