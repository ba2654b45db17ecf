//! `bench signaling`: the relay as reverse proxy beside nginx, both over TLS, to the same origins, in one run.
//!
//! Both have two workers and share two cores with the load and the origin, in turns: what is compared is the ratio of a
//! round, and CPU a request of the proxy's processes alone. Requests go to an nginx that answers by itself, messages of
//! WebSockets to an echo of the lab.

mod echo;
mod load;

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::machine::{cpu_model, kernel_release};
use super::process;
use super::veth::median;
use crate::signaling::{SERVER, Site};
use load::Load;

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Connections at a time.
    #[arg(long, default_value_t = 32)]
    pub connections: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 3)]
    pub seconds: u64,
    /// Rounds, each proxy once a round; medians are printed.
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
}

/// The printed object.
#[derive(Debug, Serialize)]
pub struct Report {
    pub kernel: String,
    pub cpu: String,
    pub connections: usize,
    pub rows: Vec<Row>,
    /// The relay over nginx, medians of the ratios of each round.
    pub requests_per_second: f64,
    pub p99: f64,
    pub cpu_per_request: f64,
    pub messages_per_second: f64,
    pub cpu_per_message: f64,
}

/// Medians of one proxy and one kind of load.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Row {
    pub proxy: &'static str,
    pub load: &'static str,
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Of the proxy, for each.
    pub cpu_us: f64,
}

/// The same routes as the relay's, by nginx.
const NGINX: &str = r#"
    upstream origin { server 127.0.0.1:8080; keepalive 256; }
    server {
        listen 127.0.0.1:444 ssl http2;
        ssl_certificate CERT;
        ssl_certificate_key KEY;
        proxy_http_version 1.1;
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        location /nginx { proxy_set_header Connection ""; proxy_pass http://origin; }
        location /echo {
            proxy_set_header Connection Upgrade;
            proxy_set_header Upgrade $http_upgrade;
            proxy_pass http://127.0.0.1:8082;
        }
    }
"#;
const PROXIES: [(&str, &str); 2] = [("nginx", "127.0.0.1:444"), ("relay", SERVER)];
const LOADS: [(&str, Load); 2] = [("requests", Load::Requests), ("messages", Load::Messages)];

pub fn run(options: &Options) -> Result<Report> {
    crate::residue::sweep();
    let mut rounds: Vec<Vec<Row>> = Vec::new();
    for round in 0..options.rounds {
        let mut rows = Vec::new();
        for (proxy, address) in PROXIES {
            let site = Bench::open(proxy)?;
            for (name, load) in LOADS {
                let row = site.measure((proxy, address), (name, load), options);
                let row = row.with_context(|| format!("{name} through {proxy}"))?;
                eprintln!(
                    "round {round}: {proxy:<6} {name}: {:>7.0}/s, p99 {:.2} ms, {:.1} us CPU",
                    row.per_second, row.p99_ms, row.cpu_us
                );
                rows.push(row);
            }
        }
        rounds.push(rows);
    }
    let ratio = |load: usize, field: fn(&Row) -> f64| {
        let of = |round: &Vec<Row>| field(&round[LOADS.len() + load]) / field(&round[load]);
        median(rounds.iter().map(of))
    };
    Ok(Report {
        kernel: kernel_release(),
        cpu: cpu_model(),
        connections: options.connections,
        requests_per_second: ratio(0, |row| row.per_second),
        p99: ratio(0, |row| row.p99_ms),
        cpu_per_request: ratio(0, |row| row.cpu_us),
        messages_per_second: ratio(1, |row| row.per_second),
        cpu_per_message: ratio(1, |row| row.cpu_us),
        rows: middle(&rounds),
    })
}

fn middle(rounds: &[Vec<Row>]) -> Vec<Row> {
    let kinds = rounds.first().map_or(0, Vec::len);
    let row = |kind: usize| {
        let of = |field: fn(&Row) -> f64| median(rounds.iter().map(|round| field(&round[kind])));
        Row {
            per_second: of(|row| row.per_second),
            p50_ms: of(|row| row.p50_ms),
            p99_ms: of(|row| row.p99_ms),
            cpu_us: of(|row| row.cpu_us),
            ..rounds[0][kind].clone()
        }
    };
    (0..kinds).map(row).collect()
}

/// The origins, and one proxy before them.
struct Bench {
    site: Site,
    /// nginx as a proxy, apart from nginx as the origin.
    proxy: Option<crate::interop::Background>,
    _echo: echo::Echo,
}

impl Bench {
    fn open(proxy: &str) -> Result<Bench> {
        let site = Site::open(None)?;
        let proxy = match proxy {
            "nginx" => Some(site.second_nginx(NGINX)?),
            _ => None,
        };
        let echo = site
            .namespace
            .enter(|| echo::Echo::start("127.0.0.1:8082"))?;
        Ok(Bench {
            site,
            proxy,
            _echo: echo,
        })
    }

    fn measure(
        &self,
        (proxy, address): (&'static str, &str),
        (name, load): (&'static str, Load),
        options: &Options,
    ) -> Result<Row> {
        let time = Duration::from_secs(options.seconds);
        // Connections, pools and caches are warm when it counts.
        self.load(load, address, options.connections, time / 4)?;
        let before = self.run_time()?;
        let mut took = self.load(load, address, options.connections, time)?;
        let cpu = self.run_time()? - before;
        took.sort_unstable();
        let at = |part: f64| {
            let index = (took.len() as f64 * part) as usize;
            took.get(index.min(took.len() - 1))
                .map_or(0.0, |took| took.as_secs_f64() * 1e3)
        };
        Ok(Row {
            proxy,
            load: name,
            per_second: took.len() as f64 / time.as_secs_f64(),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            cpu_us: cpu.as_secs_f64() * 1e6 / took.len() as f64,
        })
    }

    /// How long each took.
    fn load(
        &self,
        load: Load,
        address: &str,
        connections: usize,
        time: Duration,
    ) -> Result<Vec<Duration>> {
        let site = &self.site;
        site.namespace
            .enter(|| load.run(&site.trust, address.parse()?, connections, time))
    }

    /// Of the proxy alone.
    fn run_time(&self) -> Result<Duration> {
        let pids = match &self.proxy {
            Some(nginx) => nginx.family()?,
            None => vec![self.site.relay.pid()],
        };
        pids.into_iter().map(process::run_time).sum()
    }
}
