//! What the signaling proxy and the public API count. Written by all workers, a few times a request.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::api;
use super::fault::Fault;
use crate::relay::Sample;

#[derive(Debug, Default)]
pub struct Counts {
    /// By the first digit of the status.
    answers: [AtomicU64; 6],
    /// By code.
    faults: Mutex<BTreeMap<&'static str, u64>>,
    pub under_way: AtomicU64,
    pub connections: AtomicU64,
    pub websockets: AtomicU64,
    pub websockets_opened: AtomicU64,
    pub to_origin_bytes: AtomicU64,
    pub to_client_bytes: AtomicU64,
    pub retries: AtomicU64,
    pub unlogged: AtomicU64,
    /// By what was asked for, and the first digit of the status.
    api: Mutex<BTreeMap<(&'static str, usize), u64>>,
}

const CLASSES: [&str; 6] = ["0xx", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// First digits of what the API answers; 1: a WebSocket began.
const ANSWERED: [usize; 4] = [1, 2, 4, 5];
/// What is asked for beside the API.
const BESIDE: [&str; 3] = ["sdk", "check", "echo"];

pub const DESCRIPTIONS: &[(&str, &str)] = &[
    (
        "signaling_answers",
        "Answers to requests for signaling routes, by the first digit of their status.",
    ),
    (
        "signaling_faults",
        "Requests for signaling routes that no origin answered, or not to the end, by the code in the answer (docs/signaling.md).",
    ),
    (
        "signaling_requests_under_way",
        "Requests now between their head and the last byte of their answer, WebSockets included.",
    ),
    ("http_connections", "HTTP connections now."),
    ("signaling_websockets", "WebSockets now."),
    ("signaling_websockets_opened", "WebSockets that began."),
    (
        "signaling_bytes",
        "Bytes of bodies and WebSockets, by direction.",
    ),
    (
        "signaling_retries",
        "Requests sent again, because an origin could not be reached or broke off.",
    ),
    (
        "signaling_log_skipped",
        "Lines left out of the access log (signaling.access_log_per_second).",
    ),
    (
        "signaling_origin_healthy",
        "Whether an origin is asked: 0 while its health checks fail.",
    ),
    (
        "api_answers",
        "Answers of the public API, by what was asked for and the first digit of their status.",
    ),
];

impl Counts {
    pub fn answered(&self, status: u16) {
        let class = usize::from(status / 100).min(self.answers.len() - 1);
        self.answers[class].fetch_add(1, Relaxed);
    }

    pub fn failed(&self, fault: Fault) {
        *lock(&self.faults).entry(fault.code()).or_default() += 1;
    }

    pub fn api(&self, what: &'static str, status: u16) {
        let asked = (what, usize::from(status / 100));
        *lock(&self.api).entry(asked).or_default() += 1;
    }

    pub fn samples(&self) -> Vec<Sample> {
        let answers = CLASSES.iter().zip(&self.answers).skip(1);
        let mut samples: Vec<_> = answers
            .map(|(class, count)| {
                Sample::counter("signaling_answers", count.load(Relaxed)).label("status", *class)
            })
            .collect();
        let faults = lock(&self.faults);
        samples.extend(Fault::ALL.map(|fault| {
            let count = faults.get(fault.code()).copied().unwrap_or(0);
            Sample::counter("signaling_faults", count).label("code", fault.code())
        }));
        drop(faults);
        let api = lock(&self.api);
        let named = api::PATHS.map(|(_, _, what)| what);
        for what in named.into_iter().chain(BESIDE) {
            samples.extend(ANSWERED.map(|class| {
                let count = api.get(&(what, class)).copied().unwrap_or(0);
                let sample = Sample::counter("api_answers", count).label("request", what);
                sample.label("status", CLASSES[class])
            }));
        }
        drop(api);
        let bytes = [
            ("to_origin", &self.to_origin_bytes),
            ("to_client", &self.to_client_bytes),
        ];
        for (direction, count) in bytes {
            let sample = Sample::counter("signaling_bytes", count.load(Relaxed));
            samples.push(sample.label("direction", direction));
        }
        let gauges = [
            ("signaling_requests_under_way", &self.under_way),
            ("http_connections", &self.connections),
            ("signaling_websockets", &self.websockets),
        ];
        let counters = [
            ("signaling_websockets_opened", &self.websockets_opened),
            ("signaling_retries", &self.retries),
            ("signaling_log_skipped", &self.unlogged),
        ];
        samples.extend(gauges.map(|(name, now)| Sample::gauge(name, now.load(Relaxed))));
        samples.extend(counters.map(|(name, count)| Sample::counter(name, count.load(Relaxed))));
        samples
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
