//! The command line: what parses, what a flag overrides, what each failure exits with.

use clap::{CommandFactory, Parser};

use super::args::{Cli, Command, Global};
use super::exit::{Exit, Failure};
use super::flags::{self, ServeFlags};
use super::state::Generated;
use super::{hints, output};
use crate::admin::client::AskError;
use crate::config::{Auth, Config, Faults, XdpMode};
use crate::credentials::Credentials;
use crate::secret::Secret;

fn parse(words: &str) -> Cli {
    Cli::try_parse_from(words.split(' ')).unwrap_or_else(|error| panic!("{words}: {error}"))
}

fn serve(words: &str) -> (Global, ServeFlags) {
    let cli = parse(words);
    match cli.command {
        Command::Serve(flags) => (cli.global, *flags),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_documented_command_parses() {
    for words in [
        "relay status --json",
        "relay session list --user alice --json",
        "relay top --admin-socket /x",
        "relay session show 7",
        "relay session kill 7",
        "relay forward add --listen udp/5004 --to m.example.org:5004 --allow 10.0.0.0/8 --allow ::1 --idle 60s --max-sessions 5 --name x",
        "relay forward list --json",
        "relay forward remove x",
        "relay credentials --user alice --ttl 1h --url turn.example.org",
        "relay credentials --user alice --secret s --admin-socket /x",
        "relay check https://relay.example.org --json",
        "relay check relay.example.org:8443 --mode tcp-only --token t --udp-port 1 --tcp-port 2 --ca x.pem --tls-name y",
        "relay connect --server relay.example.org --token t --forward udp/127.0.0.1:0=h.example:1",
        "relay connect --server relay.example.org --user u --password p --forward tcp/127.0.0.1:0=h.example:1",
        "relay config check relay.toml --json",
        "relay config show --config relay.toml --workers 2 --json",
        "relay doctor --config relay.toml --interface eth0 --json",
        "relay version --json",
    ] {
        parse(words);
    }
}

#[test]
fn values_of_the_command_line_alone_are_wrong_usage() {
    for words in [
        "relay credentials --user alice --ttl 12",
        "relay session kill alice",
        "relay forward remove a/b",
        "relay check relay.example.org --mode UDP",
        "relay check relay.example.org --user u --password p --token t",
        "relay connect --server relay.example.org --forward udp/127.0.0.1:0=h.example:1",
    ] {
        let error = Cli::try_parse_from(words.split(' ')).expect_err(words);
        assert_eq!(error.exit_code(), 2, "{words}: {error}");
    }
}

#[tokio::test]
async fn credentials_made_offline_have_the_limits_of_a_running_relay() {
    for words in [
        "relay credentials --user alice --secret s --ttl 31d",
        "relay credentials --user alice --secret s --url turn:turn.example.org",
    ] {
        let exit = super::run(parse(words)).await;
        assert_eq!(exit, Exit::Failed, "{words}");
    }
}

#[test]
fn serve_flags_become_the_configuration() {
    let (global, given) = serve(
        "relay serve --interface eth0 --interface eth1 --xdp generic --listen udp/127.0.0.1:0 --listen tls/443 --certificate a:b --relay-address 192.0.2.1 \
         --relay-ports 2000-3000 --allow-peer 10.0.0.0/8 --user a:b:c --secret s --realm r --admin-socket /tmp/a.sock \
         --metrics off --forward udp/5004=media.example.org:5006 --workers 3",
    );
    let mut faults = Faults::default();
    let raw = flags::raw(&global, &given, &mut faults);
    assert!(faults.is_empty(), "{faults}");
    assert_eq!(raw.interfaces.unwrap().len(), 2);
    let listen = [raw.listen_udp, raw.listen_tcp, raw.listen_tls];
    assert_eq!(listen.map(|all| all.unwrap().len()), [1, 0, 2]);
    assert_eq!(raw.certificates.unwrap().len(), 1);
    assert_eq!(raw.xdp.unwrap().value, XdpMode::Generic);
    assert_eq!(raw.relay_ports.unwrap().value, 2000..=3000);
    assert_eq!(raw.users.unwrap()[0].value.password.expose(), "b:c");
    assert_eq!(
        raw.admin_socket.unwrap().value.to_str(),
        Some("/tmp/a.sock")
    );
    assert_eq!(raw.metrics_listen.unwrap().value, None);
    let forward = raw.forwards.unwrap().remove(0).value;
    assert_eq!((forward.name.as_str(), forward.to.port), ("udp-5004", 5006));
    assert_eq!(raw.workers.unwrap().value, 3);
}

#[test]
fn faults_of_flags_are_told_together_and_keep_passwords_to_themselves() {
    let (global, given) =
        serve("relay serve --relay-ports 9 --metrics x --user hunter2 --forward 5004");
    let mut faults = Faults::default();
    flags::raw(&global, &given, &mut faults);
    let told = faults.to_string();
    assert_eq!(faults.0.len(), 4, "{told}");
    assert!(
        told.contains("flag --relay-ports: relay.ports: \"9\" is not a port range"),
        "{told}"
    );
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn every_failure_has_its_documented_exit_code() {
    let socket = std::path::PathBuf::from("/x");
    let gone = std::io::Error::from(std::io::ErrorKind::NotFound);
    let pipe = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
    let source = gone;
    for (failure, exit) in [
        (
            Failure::from(AskError::NotRunning {
                socket: socket.clone(),
                source,
            }),
            69,
        ),
        (Failure::from(AskError::NotAllowed { socket }), 77),
        (Failure::from(AskError::NotFound(String::new())), 4),
        (
            Failure::from(AskError::Refused {
                status: 409,
                error: String::new(),
            }),
            1,
        ),
        (Failure::from(Faults::default()), 64),
        (Failure::from(pipe), 0),
    ] {
        assert_eq!(failure.exit as u8, exit, "{failure:?}");
    }
    let document = include_str!("../../../docs/cli.md");
    for exit in [
        Exit::Done,
        Exit::Failed,
        Exit::NotFound,
        Exit::BadConfig,
        Exit::NotRunning,
        Exit::Internal,
        Exit::System,
        Exit::NotAllowed,
    ] {
        assert!(
            document.contains(&format!("| {} |", exit as u8)),
            "{exit:?} is not in docs/cli.md"
        );
    }
}

#[test]
fn tables_are_aligned_without_trailing_spaces() {
    let rows = [
        vec!["1".to_owned(), "long".to_owned(), "x".to_owned()],
        vec!["22".to_owned(), "s".to_owned(), String::new()],
    ];
    assert_eq!(
        output::table(&["A", "B", "C"], &rows),
        "A   B     C\n1   long  x\n22  s"
    );
    assert_eq!(
        (output::bytes(999), output::bytes(1_500_000)),
        ("999 B".to_owned(), "1.5 MB".to_owned())
    );
}

fn listening() -> crate::api::Status {
    let json = r#"{"version":"","pid":7,"uptime_seconds":0,"listen":["127.0.0.1:1","[::1]:2"],"relay_addresses":[],"cards":[],
        "kernel_off":null,"workers":1,"allocations":0,"forwards":0,"sessions":0,"kernel_sessions":0,"kernel_capacity":0,
        "kernel":{"packets":0,"bytes":0},"userspace":{"packets":0,"bytes":0}}"#;
    serde_json::from_str(json).unwrap()
}

#[test]
fn credentials_are_hinted_at_only_when_they_can_be_made() {
    let auth = |secrets: &[&str]| Auth {
        secrets: secrets.iter().map(|s| Secret::new((*s).into())).collect(),
        ..Config::default().auth
    };
    for (secrets, hinted) in [(&["s"][..], true), (&[][..], false)] {
        let text = hints::human(&hints::Started {
            status: &listening(),
            forwards: &[],
            metrics: None,
            generated: &Generated::No,
            own_certificate: None,
            credentials: &Credentials::new(&auth(secrets)),
            unix_now: 0,
        });
        assert_eq!(text.contains("relay credentials"), hinted, "{text}");
    }
}

#[test]
fn the_readiness_line_names_ports_socket_and_pid() {
    let line = hints::ready_line(&listening(), std::path::Path::new("/run/a.sock"));
    assert_eq!(
        line,
        "relay ready udp=127.0.0.1:1,[::1]:2 admin=/run/a.sock pid=7"
    );
}

#[tokio::test]
async fn checking_the_default_file_that_does_not_exist_is_as_fine_as_serving_without_it() {
    if std::path::Path::new(crate::config::defaults::CONFIG_FILE).exists() {
        return;
    }
    assert_eq!(super::run(parse("relay config check")).await, Exit::Done);
    let named = super::run(parse("relay config check /nonexistent/relay.toml")).await;
    assert_eq!(named, Exit::BadConfig);
}
