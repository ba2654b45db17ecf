//! `relay user`: who has what now.

use crate::admin::client::Client;
use crate::api::User;
use crate::cli::args::UserCommand;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;

pub async fn user(client: &Client, command: UserCommand) -> Result<(), Failure> {
    let all: Vec<User> = client.get("/v1/users").await?;
    match command {
        UserCommand::List(read) => match read.json {
            true => output::json(&all),
            false => output::line(&table(&all)),
        },
        UserCommand::Show { name, read } => {
            let found = all.into_iter().find(|user| user.name == name);
            let found = found.ok_or_else(|| {
                let why =
                    format!("no user {name} has anything now: `relay user list` shows who does");
                Failure::new(Exit::NotFound, why)
            })?;
            match read.json {
                true => output::json(&found),
                false => output::line(&table(&[found])),
            }
        }
    }
}

fn table(users: &[User]) -> String {
    let head = [
        "USER",
        "KNOWN BY",
        "ALLOCATIONS",
        "CHANNELS",
        "PERMISSIONS",
        "LIMIT",
        "TO PEER",
        "TO CLIENT",
        "DROPPED",
    ];
    let row = |user: &User| {
        let limit = [
            user.limit
                .bits_per_second
                .map(|bits| format!("{bits} bit/s")),
            user.limit
                .packets_per_second
                .map(|count| format!("{count} packets/s")),
        ];
        let limit: Vec<_> = limit.into_iter().flatten().collect();
        vec![
            user.name.clone(),
            match user.configured {
                true => "configuration".to_owned(),
                false => "secret or hook".to_owned(),
            },
            user.allocations.to_string(),
            user.channels.to_string(),
            user.permissions.to_string(),
            match limit.is_empty() {
                true => "-".to_owned(),
                false => limit.join(", "),
            },
            format!("{} B", user.to_peer.bytes),
            format!("{} B", user.to_client.bytes),
            (user.dropped.to_peer + user.dropped.to_client).to_string(),
        ]
    };
    output::table(&head, &users.iter().map(row).collect::<Vec<_>>())
}
