//! Asks `nft` and `iptables-save` for the rules, where they are installed. Changes none.

use std::io::ErrorKind;
use std::process::{Command, Stdio};

use super::super::facts::Firewall;
use super::{iptables, nftables, text};

pub fn read() -> Firewall {
    let mut firewall = Firewall::default();
    match output("nft", &["--json", "list", "ruleset"]) {
        Ok(json) => match nftables::parse(&json) {
            Some(chains) => firewall.chains.extend(chains),
            None => firewall
                .unread
                .push("the answer of `nft` is not understood".to_owned()),
        },
        Err(None) => {}
        Err(Some(why)) => firewall.unread.push(format!("nft: {why}")),
    }
    // What iptables-nft wrote was in nft's answer already; the old tables are listed here while they are in use.
    for (tables, program) in [
        ("ip_tables_names", "iptables-save"),
        ("ip6_tables_names", "ip6tables-save"),
    ] {
        if text(&format!("/proc/net/{tables}")).is_none_or(|names| names.is_empty()) {
            continue;
        }
        match output(program, &[]) {
            Ok(rules) => firewall
                .chains
                .extend(iptables::parse(program.trim_end_matches("-save"), &rules)),
            Err(None) => firewall
                .unread
                .push(format!("there are rules, but {program} is not installed")),
            Err(Some(why)) => firewall.unread.push(format!("{program}: {why}")),
        }
    }
    firewall
}

/// `Err(None)`: not installed.
fn output(program: &str, arguments: &[&str]) -> Result<String, Option<String>> {
    let ran = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    match ran {
        Ok(done) if done.status.success() => Ok(String::from_utf8_lossy(&done.stdout).into_owned()),
        Ok(done) => {
            let said = String::from_utf8_lossy(&done.stderr);
            Err(Some(said.lines().next().unwrap_or("failed").to_owned()))
        }
        // A directory of PATH that may not be entered is no place where it is installed for us.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::PermissionDenied
            ) =>
        {
            Err(None)
        }
        Err(error) => Err(Some(error.to_string())),
    }
}
