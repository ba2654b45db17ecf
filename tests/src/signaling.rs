//! An address for signaling in a namespace of its own: the relay, and nginx and a Node server behind it.

use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result};

use crate::home::Home;
use crate::interop::{Background, Tools};
use crate::netns::{NetNs, output};
use crate::relay::{Relay, binary};
use crate::trust::Trust;

/// The relay's own.
pub const SERVER: &str = "127.0.0.1:443";
pub const HOST: &str = "relay.test";

const ROUTES: &str = r#"
[listen]
udp = ["127.0.0.1:3478"]
tcp = ["127.0.0.1:3478"]
tls = ["127.0.0.1:443"]
[signaling]
access_log_per_second = 0
max_connections_per_prefix = 10000
[[signaling.route]]
host = "relay.test"
path = "/node"
origins = ["http://127.0.0.1:8081"]
max_body_bytes = 1000000000
[[signaling.route]]
host = "relay.test"
path = "/nginx"
origins = ["http://127.0.0.1:8080"]
[[signaling.route]]
host = "relay.test"
path = "/secure"
origins = ["https://127.0.0.1:8443"]
ca_file = "CERT"
[[signaling.route]]
host = "relay.test"
path = "/doubtful"
origins = ["https://127.0.0.1:8443"]
[[signaling.route]]
host = "relay.test"
path = "/echo"
origins = ["http://127.0.0.1:8082"]
[[tls.certificate]]
cert = "CERT"
key = "KEY"
"#;

const NGINX: &str = r#"
daemon off;
pid FOLDER/NAME.pid;
error_log FOLDER/NAME.log;
worker_processes 2;
worker_rlimit_nofile 8192;
events { worker_connections 4096; }
http {
    access_log off;
    client_body_temp_path FOLDER/body;
    proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi;
    uwsgi_temp_path FOLDER/uwsgi;
    scgi_temp_path FOLDER/scgi;
    keepalive_requests 1000000000;
    SERVERS
}
"#;

const ORIGIN: &str = r#"
    server {
        listen 127.0.0.1:8080;
        listen 127.0.0.1:8443 ssl;
        ssl_certificate CERT;
        ssl_certificate_key KEY;
        location / { return 200 "nginx has $request_uri for $http_x_forwarded_for\n"; }
        location /nginx/file { alias FOLDER/file; }
    }
"#;

/// Everything runs until it is dropped.
pub struct Site {
    pub relay: Relay,
    _nginx: Background,
    node: Option<Background>,
    pub trust: Trust,
    pub namespace: NetNs,
}

impl Site {
    /// `tools`: with the Node server.
    pub fn open(tools: Option<&Tools>) -> Result<Site> {
        let namespace = NetNs::new("site")?;
        let trust = Trust::new()?;
        let folder = trust.folder();
        let nginx = start_nginx(&namespace, &trust, "origin", ORIGIN)?;
        let node = tools.map(|tools| start_node(&namespace, &trust, tools));
        let node = node.transpose()?;
        let config = folder.join("relay.toml");
        std::fs::write(&config, filled(ROUTES, &trust))?;
        let path = binary();
        let mut command = namespace.command(path.to_str().context("path of the command")?);
        // What is measured is not what it writes about itself.
        command.env("RELAY_LOG", "warn");
        let config = config.to_str().context("path of the configuration")?;
        let relay = Relay::spawn_at(Arc::new(Home::new()?), command, &["--config", config])?;
        Ok(Site {
            relay,
            _nginx: nginx,
            node,
            trust,
            namespace,
        })
    }

    /// Another nginx, with these servers.
    pub fn second_nginx(&self, servers: &str) -> Result<Background> {
        start_nginx(&self.namespace, &self.trust, "proxy", servers)
    }

    /// Asks the relay with curl; what it printed.
    pub fn curl(&self, arguments: &[&str], path: &str) -> Result<String> {
        let mut curl = self.namespace.command("curl");
        curl.args(["--silent", "--show-error", "--max-time", "30"]);
        curl.args(["--resolve", "relay.test:443:127.0.0.1", "--cacert"]);
        curl.arg(self.trust.cert());
        output(curl.args(arguments).arg(format!("https://{HOST}{path}")))
    }

    /// Runs a case of the Node client; what it found.
    pub fn client(&self, tools: &Tools, case: &str) -> Result<serde_json::Value> {
        let mut node = self.namespace.command("timeout");
        node.args(["120", "node"])
            .arg(Tools::script("signaling_client.mjs"));
        node.arg(case)
            .args(["--server", SERVER, "--ca"])
            .arg(self.trust.cert());
        node.arg("--modules").arg(tools.node_modules());
        let text = output(&mut node)?;
        serde_json::from_str(&text).with_context(|| format!("{case} printed {text}"))
    }

    /// What the Node server wrote.
    pub fn node_log(&self) -> String {
        self.node.as_ref().map_or(String::new(), Background::log)
    }
}

fn filled(text: &str, trust: &Trust) -> String {
    let folder = trust.folder().display().to_string();
    text.replace("CERT", &trust.cert().display().to_string())
        .replace("KEY", &trust.key().display().to_string())
        .replace("FOLDER", &folder)
}

fn start_nginx(namespace: &NetNs, trust: &Trust, name: &str, servers: &str) -> Result<Background> {
    let folder = trust.folder();
    // Its workers are somebody else.
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let config = folder.join(format!("{name}.conf"));
    let text = NGINX.replace("SERVERS", servers).replace("NAME", name);
    std::fs::write(&config, filled(&text, trust))?;
    let mut command = namespace.command("nginx");
    command.arg("-e").arg(folder.join(format!("{name}.log")));
    command.arg("-p").arg(folder).arg("-c").arg(&config);
    let mut nginx = Background::start(command, &folder.join(format!("{name}.out")))?;
    let pid = folder.join(format!("{name}.pid"));
    // It listens before it writes it.
    nginx.wait_for("nginx's PID", |_| pid.exists())?;
    Ok(nginx)
}

fn start_node(namespace: &NetNs, trust: &Trust, tools: &Tools) -> Result<Background> {
    let mut command: Command = namespace.command("node");
    command
        .arg(Tools::script("signaling_origin.mjs"))
        .args(["--port", "8081"]);
    command.arg("--modules").arg(tools.node_modules());
    let mut node = Background::start(command, &trust.folder().join("node.log"))?;
    node.wait_for("Node's readiness", |log| log.contains("ready"))?;
    Ok(node)
}
