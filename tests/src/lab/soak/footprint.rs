//! What a relay holds: descriptors, sockets, memory, sessions, slots of the kernel. Reads only.

use anyhow::{Context, Result};
use serde::Serialize;

use crate::relay::Relay;

/// Memory that may stay: allocators keep some, and tables their size.
const SPARE_KB: u64 = 24 * 1024;

#[derive(Debug, Clone, Serialize)]
pub struct Footprint {
    pub descriptors: usize,
    pub udp_sockets: usize,
    pub threads: usize,
    pub resident_kb: u64,
    pub sessions: u64,
    pub kernel_sessions: u64,
    pub pinned: usize,
}

impl Footprint {
    pub fn of(relay: &Relay) -> Result<Self> {
        let process = format!("/proc/{}", relay.pid());
        let entries = |name: &str| -> Result<usize> {
            Ok(std::fs::read_dir(format!("{process}/{name}"))?.count())
        };
        let lines = |name: &str| -> Result<usize> {
            let text = std::fs::read_to_string(format!("{process}/net/{name}"))?;
            Ok(text.lines().count())
        };
        let status = std::fs::read_to_string(format!("{process}/status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|text| text.split_whitespace().next());
        let told = relay.status()?;
        Ok(Self {
            descriptors: entries("fd")?,
            udp_sockets: lines("udp")? + lines("udp6")?,
            threads: entries("task")?,
            resident_kb: resident.context("VmRSS")?.parse()?,
            sessions: told.sessions,
            kernel_sessions: told.kernel_sessions,
            pinned: relay.home().pinned().len(),
        })
    }

    pub fn is_no_more_than(&self, before: &Self) -> bool {
        // A descriptor that asks may be open while it is counted.
        self.descriptors <= before.descriptors + 2
            && self.udp_sockets <= before.udp_sockets
            && self.threads <= before.threads
            && self.resident_kb <= before.resident_kb + SPARE_KB
            && self.sessions == 0
            && self.kernel_sessions == 0
            && self.pinned == before.pinned
    }
}
