//! Commands that ask a running relay over its admin socket and print the answer.

mod user;
mod views;

use std::path::PathBuf;
use std::time::Duration;

use super::args::{
    Credentials as Wish, Forward, ForwardAdd, Global, Limit, LimitOf, Read,
    Session as SessionCommand, UserCommand,
};
use super::exit::{Exit, Failure};
use super::flags::{self, ServeFlags};
use super::output;
use crate::admin::client::Client;
use crate::admin::{ice, request, unix_now};
use crate::advertise::outside;
use crate::api::{
    self, Change, CredentialsRequest, ForwardRequest, ForwardView, IceServer, Killed, LimitRequest,
    LimitsView, Reloaded, Session, StatusReport,
};
use crate::config::{Layers, defaults, load};
use crate::credentials::Credentials;

pub async fn status(global: &Global, read: Read) -> Result<(), Failure> {
    let report: StatusReport = client(global).get("/v1/status").await?;
    match read.json {
        true => output::json(&report),
        false => output::line(&views::status(&report)),
    }
}

pub async fn reload(global: &Global, read: Read) -> Result<(), Failure> {
    let done: Reloaded = client(global).post("/v1/reload", &()).await?;
    if read.json {
        return output::json(&done);
    }
    output::line(&format!("{} certificates in use", done.certificates))?;
    if !done.applied.is_empty() {
        output::line(&format!("changed and in use: {}", done.applied.join(", ")))?;
    }
    match done.needs_restart.is_empty() {
        true => Ok(()),
        false => output::line(&format!(
            "changed, but in use only after a restart: {}",
            done.needs_restart.join(", ")
        )),
    }
}

pub async fn session(global: &Global, command: SessionCommand) -> Result<(), Failure> {
    let client = client(global);
    match command {
        SessionCommand::List { user, read } => {
            let mut all: Vec<Session> = client.get("/v1/sessions").await?;
            all.retain(|session| user.as_ref().is_none_or(|user| *user == session.owner));
            match read.json {
                true => output::json(&all),
                false => output::line(&views::sessions(&all)),
            }
        }
        SessionCommand::Show { id, read } => {
            let path = format!("/v1/sessions/{id}");
            // The second look makes the rates those of the last second.
            client.get::<Session>(&path).await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
            let session: Session = client.get(&path).await?;
            match read.json {
                true => output::json(&session),
                false => output::line(&views::session(&session)),
            }
        }
        SessionCommand::Kill {
            user: Some(user), ..
        } => {
            let path = format!("/v1/sessions?user={}", output::percent_encoded(&user));
            let killed: Killed = client.delete(&path).await?;
            output::line(&format!("{} ended", killed.ended))
        }
        SessionCommand::Kill { id, .. } => {
            let id = id.unwrap_or_default();
            client.remove(&format!("/v1/sessions/{id}")).await?;
            output::line(&format!("session {id} ended"))
        }
    }
}

pub async fn user(global: &Global, command: UserCommand) -> Result<(), Failure> {
    user::user(&client(global), command).await
}

pub async fn forward(global: &Global, command: Forward) -> Result<(), Failure> {
    let client = client(global);
    match command {
        Forward::Add(add) => {
            let json = add.read.json;
            let view: ForwardView = client.post("/v1/forwards", &asked(add)).await?;
            match json {
                true => output::json(&view),
                false => output::line(&views::forwards(&[view])),
            }
        }
        Forward::List(read) => {
            let all: Vec<ForwardView> = client.get("/v1/forwards").await?;
            match read.json {
                true => output::json(&all),
                false => output::line(&views::forwards(&all)),
            }
        }
        Forward::Remove { name } => {
            client.remove(&format!("/v1/forwards/{name}")).await?;
            output::line(&format!("forward {name} removed"))
        }
    }
}

pub async fn limit(global: &Global, command: Limit) -> Result<(), Failure> {
    let client = client(global);
    let (read, view): (Read, LimitsView) = match command {
        Limit::List(read) => (read, client.get("/v1/limits").await?),
        Limit::Set(set) => {
            let of = match set.of {
                LimitOf {
                    user: Some(name), ..
                } => Change::User(name),
                LimitOf {
                    session: Some(id), ..
                } => Change::Session(id),
                LimitOf { users: true, .. } => Change::Users,
                LimitOf { .. } => Change::Sessions,
            };
            let limit = api::Limit {
                bits_per_second: set.bits,
                packets_per_second: set.packets,
            };
            let request = LimitRequest { of, limit };
            (set.read, client.put("/v1/limits", &request).await?)
        }
    };
    match read.json {
        true => output::json(&view),
        false => output::line(&views::limits(&view)),
    }
}

fn asked(add: ForwardAdd) -> ForwardRequest {
    ForwardRequest {
        name: add.name,
        listen: add.listen,
        to: add.to,
        allow: add.allow,
        idle: add.idle,
        max_sessions: add.max_sessions,
    }
}

pub async fn credentials(global: &Global, wish: Wish) -> Result<(), Failure> {
    let offline = wish.secret.is_some() || wish.secret_file.is_some() || wish.config.is_some();
    let asked = CredentialsRequest {
        user: wish.user.clone(),
        ttl_seconds: wish.ttl.as_secs(),
        host: wish.url.clone(),
    };
    if offline {
        return output::json(&minted(global, wish, &asked)?);
    }
    let servers: Vec<IceServer> = client(global).post("/v1/credentials", &asked).await?;
    output::json(&servers)
}

/// Without a running relay, from the same secrets it would read.
fn minted(
    global: &Global,
    wish: Wish,
    asked: &CredentialsRequest,
) -> Result<Vec<IceServer>, Failure> {
    let (said_host, said_port) =
        request::credentials(asked).map_err(|refusal| Failure::new(Exit::Failed, refusal))?;
    let given = ServeFlags {
        config: wish.config,
        secret: wish.secret.into_iter().collect(),
        secret_file: wish.secret_file,
        ..ServeFlags::default()
    };
    let config = flags::settings(global, &given)?.config;
    let own = || {
        let address = ice::default_route_address()?;
        Some(outside(address, &config.relay.advertise).to_string())
    };
    let host = said_host.or_else(own).unwrap_or("localhost".to_owned());
    let listen = &config.listen;
    let reach = ice::Reach::of(host, &listen.udp, &listen.tcp, &listen.tls).but(None, said_port);
    let wish = ice::Wish {
        user: &asked.user,
        ttl: Duration::from_secs(asked.ttl_seconds),
        unix_now: unix_now(),
    };
    let servers = ice::servers(&Credentials::new(&config.auth), wish, &reach);
    servers.ok_or_else(|| {
        Failure::new(
            Exit::Failed,
            "no shared secret: give --secret, --secret-file, or auth.secrets in --config FILE",
        )
    })
}

/// Flag or variable, else what the default configuration file says, else the default.
pub(super) fn client(global: &Global) -> Client {
    let configured = || {
        let settings = load(Layers::only_file(None)).ok()?;
        Some(settings.config.admin.socket)
    };
    let socket: Option<PathBuf> = global.admin_socket.clone().or_else(configured);
    let default = defaults::admin_socket();
    let client = Client::new(socket.as_ref().unwrap_or(&default));
    let me = nix::unistd::geteuid();
    // The default may lie in /tmp. Root's does not, and its relay may have given root up.
    match socket.is_none_or(|socket| socket == default) && !me.is_root() {
        true => client.trusting(me.as_raw()),
        false => client,
    }
}
