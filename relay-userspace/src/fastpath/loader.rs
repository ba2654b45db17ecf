//! Loads the XDP program and attaches it to cards by the ladder native → generic → none. Every rung not taken has
//! its reason. With pins, tables an earlier process left are taken over instead of made.

use std::io;
use std::sync::Arc;

use aya::maps::{Array, DevMap, Map, MapData, PerCpuArray};
use aya::programs::links::FdLink;
use aya::programs::xdp::XdpLink;
use aya::programs::{ProgramError, TestRun, TestRunOptions, Xdp, XdpMode as AyaMode};
use aya::{Ebpf, EbpfError, EbpfLoader};
use relay_common::{
    ABI_VERSION, Counter, HashKey, KNOWN_WAYS, MAX_CARDS, MAX_NEXT_HOPS, MAX_SESSIONS,
    PORT_ENTRIES, Paces, Stamp, buckets_for, known_buckets_for, maps, programs, streams_for,
};

use super::clock::{Clock, Sample};
use super::memory::{BUCKET_WORDS, NEXT_HOP_WORDS, PORT_WORDS, SLOT_WORDS, STREAMS_WORDS};
use super::object;
use super::pins::{Kept, Pins};
use super::shared::{MappedWords, SharedMemory};
use crate::police::MeterTable;

/// Why the kernel path is off altogether.
#[derive(Debug, thiserror::Error)]
pub enum LoadFault {
    #[error("built without the XDP program (cargo xtask build)")]
    NoObject,
    #[error("loading BPF needs CAP_BPF and CAP_NET_ADMIN: run as root, or grant them")]
    NotPermitted,
    #[error("the kernel refused the XDP program: {0}")]
    Refused(String),
    #[error(
        "the XDP program was built for ABI {found}, this relay has {}: rebuild (cargo xtask build)",
        ABI_VERSION
    )]
    Abi { found: u32 },
    #[error("the XDP program has no `{0}`: rebuild (cargo xtask build)")]
    Missing(&'static str),
    #[error("map `{name}`: {source}")]
    Mapping {
        name: &'static str,
        source: io::Error,
    },
    #[error("map `{name}`: {reason}")]
    Table { name: &'static str, reason: String },
    #[error("no randomness for the hash key: {0}")]
    Random(getrandom::Error),
    #[error("cannot read jiffies: {0}")]
    Clock(String),
    #[error(transparent)]
    Unrelated(#[from] super::clock::Unrelated),
}

/// Why a card does not take the program.
#[derive(Debug, thiserror::Error)]
pub enum AttachFault {
    #[error(
        "another XDP program is attached: remove it (`ip link set CARD xdp off`, or stop its owner)"
    )]
    Busy,
    #[error("not permitted: needs CAP_NET_ADMIN")]
    NotPermitted,
    #[error("the driver does not support it")]
    Unsupported,
    #[error("the kernel has no bpf_link for XDP (before 5.9)")]
    NoLink,
    #[error("{0}")]
    Other(String),
}

/// The program in the kernel, not yet attached, and its tables.
pub struct Loaded {
    ebpf: Ebpf,
}

impl Loaded {
    /// Loads and verifies the program; over the tables `kept`, or over new ones for `sessions` sessions, which are
    /// pinned if there are `pins`.
    pub fn new(
        sessions: u32,
        pins: Option<&Pins>,
        kept: Option<Kept>,
    ) -> Result<(Self, SharedMemory, HashKey), LoadFault> {
        let object = object::bpf_object().ok_or(LoadFault::NoObject)?;
        check_abi(object)?;
        raise_memlock();
        let sessions = kept.map_or(sessions.clamp(1, MAX_SESSIONS), |kept| kept.sessions);
        let buckets = buckets_for(sessions);
        let key = kept.map_or_else(random_key, |kept| Ok(kept.key))?;
        let mask = buckets - 1;
        let known = known_buckets_for(sessions);
        let known_mask = known - 1;
        let mut loader = EbpfLoader::new();
        for name in maps::PINNED {
            if let Some(pins) = pins {
                loader.map_pin_path(name, pins.map(name));
            }
        }
        let mut ebpf = loader
            .map_max_entries(maps::BUCKETS, buckets)
            .map_max_entries(maps::SESSIONS, sessions)
            .map_max_entries(maps::STREAMS, streams_for(sessions))
            .map_max_entries(maps::KNOWN, known)
            .override_global(maps::HASH_KEY, &key, true)
            .override_global(maps::BUCKET_MASK, &mask, true)
            .override_global(maps::SLOTS, &sessions, true)
            .override_global(maps::KNOWN_MASK, &known_mask, true)
            .load(object)
            .map_err(refused)?;
        for name in [programs::RELAY, programs::CLOCK] {
            program(&mut ebpf, name)?.load().map_err(refused)?;
        }
        let slots = || map_words(&ebpf, maps::SESSIONS, sessions as usize * SLOT_WORDS);
        let memory = SharedMemory {
            meters: Arc::new(MeterTable::new(Box::new(slots()?))),
            streams: map_words(
                &ebpf,
                maps::STREAMS,
                streams_for(sessions) as usize * STREAMS_WORDS,
            )?,
            ports: map_words(&ebpf, maps::PORTS, PORT_ENTRIES as usize * PORT_WORDS)?,
            buckets: map_words(&ebpf, maps::BUCKETS, buckets as usize * BUCKET_WORDS)?,
            sessions: slots()?,
            next_hops: map_words(
                &ebpf,
                maps::NEXT_HOPS,
                MAX_NEXT_HOPS as usize * NEXT_HOP_WORDS,
            )?,
            known: map_words(&ebpf, maps::KNOWN, known as usize * KNOWN_WAYS)?,
        };
        let mut loaded = Self { ebpf };
        if pins.is_some() && kept.is_none() {
            loaded.stamp(key)?;
        }
        Ok((loaded, memory, key))
    }

    /// From now on the tables are complete.
    fn stamp(&mut self, key: HashKey) -> Result<(), LoadFault> {
        let name = maps::STAMP;
        let map = self.ebpf.map_mut(name).ok_or(LoadFault::Missing(name))?;
        let refused = |e: aya::maps::MapError| LoadFault::Table {
            name,
            reason: chain(&e),
        };
        let mut stamp: Array<&mut MapData, Stamp> = map.try_into().map_err(refused)?;
        let value = Stamp {
            abi: ABI_VERSION,
            _pad: 0,
            key,
        };
        stamp.set(0, value, 0).map_err(refused)
    }

    /// Raises the shield; before the program is attached.
    pub fn shield(&mut self, paces: Paces) -> Result<(), LoadFault> {
        let name = maps::PACES;
        let map = self.ebpf.map_mut(name).ok_or(LoadFault::Missing(name))?;
        let refused = |e: aya::maps::MapError| LoadFault::Table {
            name,
            reason: chain(&e),
        };
        let mut table: Array<&mut MapData, Paces> = map.try_into().map_err(refused)?;
        table.set(0, paces, 0).map_err(refused)
    }

    /// Learns how jiffies relate to `Instant`.
    pub fn clock(&mut self) -> Result<Clock, LoadFault> {
        let first = self.sample()?;
        std::thread::sleep(std::time::Duration::from_millis(20));
        Ok(Clock::learn(first, self.sample()?)?)
    }

    /// Reads both clocks.
    pub fn sample(&mut self) -> Result<Sample, LoadFault> {
        let program = program(&mut self.ebpf, programs::CLOCK)?;
        let (packet, mut out) = ([0; 64], [0; 64]);
        let options = TestRunOptions {
            data_in: Some(&packet),
            data_out: Some(&mut out),
            ..TestRunOptions::default()
        };
        program
            .test_run(options)
            .map_err(|e| LoadFault::Clock(chain(&e)))?;
        let after = std::time::Instant::now();
        let word = |i: usize| {
            out[i * 8..][..8]
                .try_into()
                .map(u64::from_ne_bytes)
                .unwrap_or(0)
        };
        Ok(Sample {
            jiffies: word(0),
            monotonic: word(1),
            after,
        })
    }

    /// Attaches the program to a card; the link detaches it when dropped.
    pub fn attach(&mut self, ifindex: u32, mode: AyaMode) -> Result<FdLink, AttachFault> {
        let other = |e: &dyn std::fmt::Display| AttachFault::Other(e.to_string());
        let program = program(&mut self.ebpf, programs::RELAY).map_err(|e| other(&e))?;
        let id = program
            .attach_to_if_index(ifindex, mode)
            .map_err(|e| attach_fault(&e))?;
        let link = program.take_link(id).map_err(|e| other(&chain(&e)))?;
        // aya falls back to a netlink attachment, which would stay behind when this process is killed.
        FdLink::try_from(link).map_err(|_| AttachFault::NoLink)
    }

    /// Puts this program in the place of the one `link` has, between two packets.
    pub fn replace(&mut self, link: FdLink) -> Result<FdLink, String> {
        let program = program(&mut self.ebpf, programs::RELAY).map_err(|e| e.to_string())?;
        let link = XdpLink::try_from(link).map_err(|e| chain(&e))?;
        let id = program.attach_to_link(link).map_err(|e| chain(&e))?;
        let link = program.take_link(id).map_err(|e| chain(&e))?;
        FdLink::try_from(link).map_err(|e| chain(&e))
    }

    /// The interface of each index in `CARDS`.
    pub fn cards(&self) -> Vec<(u32, u32)> {
        let map = self.ebpf.map(maps::CARDS);
        let Some(Ok(cards)) = map.map(DevMap::<&MapData>::try_from) else {
            return Vec::new();
        };
        let card = |index| Some((index, cards.get(index, 0).ok()?.if_index));
        (0..MAX_CARDS).filter_map(card).collect()
    }

    /// Makes a card a target of redirects.
    pub fn set_card(&mut self, index: u32, ifindex: u32) -> Result<(), String> {
        let map = self
            .ebpf
            .map_mut(maps::CARDS)
            .ok_or_else(|| format!("no map `{}`", maps::CARDS))?;
        let mut cards: DevMap<&mut MapData> =
            map.try_into().map_err(|e: aya::maps::MapError| chain(&e))?;
        cards.set(index, ifindex, None, 0).map_err(|e| chain(&e))
    }

    /// Kernel verdicts, summed over CPUs, in the order of `Counter::ALL`.
    pub fn counters(&self) -> Option<Vec<u64>> {
        let map: PerCpuArray<&MapData, u64> = self.ebpf.map(maps::COUNTERS)?.try_into().ok()?;
        let sum = |c: &Counter| Some(map.get(&(*c as u32), 0).ok()?.iter().sum());
        Counter::ALL.iter().map(sum).collect()
    }
}

fn program<'e>(ebpf: &'e mut Ebpf, name: &'static str) -> Result<&'e mut Xdp, LoadFault> {
    let program = ebpf.program_mut(name).ok_or(LoadFault::Missing(name))?;
    program.try_into().map_err(|_| LoadFault::Missing(name))
}

fn map_words(ebpf: &Ebpf, name: &'static str, words: usize) -> Result<MappedWords, LoadFault> {
    let Some(Map::Array(data)) = ebpf.map(name) else {
        return Err(LoadFault::Missing(name));
    };
    use std::os::fd::AsFd;
    MappedWords::new(&data.fd().as_fd(), words)
        .map_err(|source| LoadFault::Mapping { name, source })
}

/// The version is a global of the object's read-only data, where `override_global` would find it as well.
fn check_abi(object: &[u8]) -> Result<(), LoadFault> {
    let found = super::object::global_u32(object, maps::PROGRAM_ABI)
        .ok_or(LoadFault::Missing(maps::PROGRAM_ABI))?;
    if found == relay_common::ABI_VERSION {
        Ok(())
    } else {
        Err(LoadFault::Abi { found })
    }
}

fn random_key() -> Result<HashKey, LoadFault> {
    let mut key = HashKey([0; 14]);
    for word in &mut key.0 {
        *word = getrandom::u32().map_err(LoadFault::Random)?;
    }
    Ok(key)
}

/// Kernels before 5.11 account BPF memory here.
fn raise_memlock() {
    use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
    if let Err(e) = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY) {
        tracing::debug!("raise RLIMIT_MEMLOCK: {e}");
    }
}

fn refused(error: impl Into<EbpfError>) -> LoadFault {
    let error = error.into();
    match errno(&error) {
        Some(libc::EPERM) => LoadFault::NotPermitted,
        _ => LoadFault::Refused(chain(&error)),
    }
}

fn attach_fault(error: &ProgramError) -> AttachFault {
    match errno(error) {
        Some(libc::EBUSY | libc::EEXIST) => AttachFault::Busy,
        Some(libc::EPERM) => AttachFault::NotPermitted,
        Some(libc::EOPNOTSUPP) => AttachFault::Unsupported,
        _ => AttachFault::Other(chain(error)),
    }
}

fn errno(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(code) = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error)
        {
            return Some(code);
        }
        next = error.source();
    }
    None
}

/// An error and its causes, on one line, of which a verifier's log keeps the end.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    const LONGEST: usize = 600;
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().rev().nth(LONGEST) {
        Some((start, _)) => format!("… {}", &line[start..]),
        None => line,
    }
}
