//! `relay check`: what works between here and a relay. Asks, tells how far it is, prints what was found.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::connect::{Proof, plan};
use super::exit::{Exit, Failure};
use super::output;
use crate::check::{self, Check, Question, Report, State, Verdict};
use crate::mode::Mode;

#[derive(Debug, Args)]
pub struct Wish {
    /// The relay: HOST, HOST:PORT or https://HOST:PORT, its port for TLS [default port: 443]
    #[arg(value_name = "URL")]
    pub server: String,
    /// The mode that has to work: UDP_OVER_TCP, UDP_ONLY or TCP_ONLY
    #[arg(long, default_value_t = Mode::UdpOverTcp, value_name = "MODE")]
    pub mode: Mode,
    #[command(flatten)]
    pub proof: Proof,
    /// Its port for UDP
    #[arg(long, default_value_t = 3478, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub udp_port: u16,
    /// Its port for TCP without TLS
    #[arg(long, default_value_t = 3478, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub tcp_port: u16,
    /// Trust this PEM certificate, and no other [default: those this host trusts]
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The name in the relay's certificate [default: HOST]
    #[arg(long, value_name = "NAME")]
    pub tls_name: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

pub async fn check(wish: Wish) -> Result<(), Failure> {
    let question = question(&wish)?;
    let report = check::run(question, &progress).await;
    match wish.json {
        true => output::json(&report)?,
        false => output::line(&text(&report))?,
    }
    match report.verdict {
        Verdict::Works => Ok(()),
        Verdict::Impaired => Err(Failure::silent(Exit::Failed)),
        Verdict::Nothing if report.by_the_relay() => Err(Failure::silent(Exit::NotAllowed)),
        Verdict::Nothing => Err(Failure::silent(Exit::NotRunning)),
    }
}

fn question(wish: &Wish) -> Result<Question, Failure> {
    let (host, port) = plan::server(&wish.server)?;
    let name = wish.tls_name.as_deref().unwrap_or(&host);
    Ok(Question {
        name: plan::certificate_name(name)?,
        tls: plan::tls(wish.ca.as_deref())?,
        host,
        tls_port: port,
        udp_port: wish.udp_port,
        tcp_port: wish.tcp_port,
        mode: wish.mode,
        proof: match (&wish.proof.token, &wish.proof.user) {
            (Some(token), _) => check::Proof::Token(token.clone()),
            (None, Some(_)) => check::Proof::Login(plan::login(&wish.proof)),
            (None, None) => check::Proof::Nobody,
        },
    })
}

/// As it goes; nobody may be there to read it.
fn progress(check: &Check) {
    let _ = writeln!(std::io::stderr(), "{}", output::harmless(&line(check)));
}

fn line(check: &Check) -> String {
    let state = state(check.state);
    let (check, target) = (check.check, &check.target);
    format!("{state:8}{check} {target}")
}

fn state(state: State) -> &'static str {
    match state {
        State::Works => "ok",
        State::Fails => "FAIL",
        State::Skipped => "skipped",
    }
}

/// To be copied: a table, what the mode does, what to ask for.
fn text(report: &Report) -> String {
    let rows: Vec<_> = report.checks.iter().map(row).collect();
    let verdict = match report.verdict {
        Verdict::Works => "everything works",
        Verdict::Impaired => "it works, but not all of it",
        Verdict::Nothing => "it does not work",
    };
    let (server, mode) = (&report.server, report.mode);
    let seconds = report.elapsed_ms as f64 / 1000.0;
    let mut lines = vec![
        output::harmless(&format!("{server}, {mode}: {verdict} ({seconds:.1} s)")),
        String::new(),
        output::table(
            &["STATE", "CHECK", "TARGET", "RTT MS", "LOST", "FOUND"],
            &rows,
        ),
        String::new(),
    ];
    lines.push(match &report.transport {
        Some(choice) => format!(
            "{mode} goes by {} after {} ms",
            choice.proto, choice.elapsed_ms
        ),
        None => format!("{mode} has no way"),
    });
    lines.extend(
        report
            .open
            .iter()
            .map(|open| format!("to ask for: {}", open.rule)),
    );
    lines.join("\n")
}

fn row(check: &Check) -> Vec<String> {
    let times = check
        .round_trip
        .map(|times| format!("{:.1}/{:.1}", times.min, times.median));
    let lost = check
        .loss
        .map(|loss| format!("{}/{}", loss.lost, loss.sent));
    vec![
        state(check.state).to_owned(),
        check.check.to_owned(),
        check.target.clone(),
        times.unwrap_or_default(),
        lost.unwrap_or_default(),
        check.found.clone(),
    ]
}
