//! The data path's program in the kernel, driven by `BPF_PROG_TEST_RUN` with the tables of a `MemoryTables`.

use anyhow::{Context, Result};
use aya::maps::{Array, DevMap, MapData, PerCpuArray};
use aya::programs::{TestRun, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};
use relay_common::engine::Verdict;
use relay_common::{
    Bucket, Counter, KNOWN_WAYS, Known, Meter, NextHop, Paces, PortEntry, Session, Slot, Streams,
    maps, meter_index, meter_place, programs,
};

use crate::engine::{Charge, MemoryTables, Outcome};

/// Loopback: what `BPF_PROG_TEST_RUN` says packets came in by.
pub const TEST_RUN_INGRESS: u32 = 1;

/// The program and its maps.
pub struct KernelEngine {
    ebpf: Ebpf,
    sessions: u32,
}

/// Counters and legs that moved, by how much, and legs with packets over a limit.
pub type Moved = (Vec<(Counter, u64)>, Vec<Charge>, Vec<(u32, u32)>);

/// Counters of one moment.
pub struct Snapshot {
    counters: Vec<u64>,
    charges: Vec<Charge>,
    refused: Vec<u32>,
}

impl KernelEngine {
    /// Loads `object` and copies `tables` into its maps.
    pub fn new(object: &[u8], tables: &MemoryTables) -> Result<Self> {
        let mask = tables.buckets.len() as u32 - 1;
        let sessions = tables.slots();
        let known_mask = tables.known.len() as u32 - 1;
        let mut ebpf = EbpfLoader::new()
            .map_max_entries(maps::BUCKETS, tables.buckets.len() as u32)
            .map_max_entries(maps::SESSIONS, sessions)
            .map_max_entries(maps::STREAMS, tables.streams.borrow().len() as u32)
            .override_global(maps::HASH_KEY, &tables.key, true)
            .map_max_entries(maps::KNOWN, tables.known.len() as u32)
            .override_global(maps::BUCKET_MASK, &mask, true)
            .override_global(maps::SLOTS, &sessions, true)
            .override_global(maps::KNOWN_MASK, &known_mask, true)
            .load(object)
            .context("load the XDP object")?;
        let relay: &mut Xdp = ebpf
            .program_mut(programs::RELAY)
            .context("program `relay`")?
            .try_into()?;
        relay.load().context("verify `relay`")?;
        let mut engine = Self { ebpf, sessions };
        engine.fill(tables)?;
        Ok(engine)
    }

    fn fill(&mut self, tables: &MemoryTables) -> Result<()> {
        let mut ports: Array<&mut MapData, PortEntry> = self.map(maps::PORTS)?.try_into()?;
        for (i, port) in tables.ports.iter().enumerate().filter(|p| p.1.kind != 0) {
            ports.set(i as u32, port, 0)?;
        }
        let mut buckets: Array<&mut MapData, Bucket> = self.map(maps::BUCKETS)?.try_into()?;
        for (i, bucket) in tables
            .buckets
            .iter()
            .enumerate()
            .filter(|b| b.1.0 != [0; 8])
        {
            buckets.set(i as u32, bucket, 0)?;
        }
        let mut slots: Array<&mut MapData, Slot> = self.map(maps::SESSIONS)?.try_into()?;
        let meters = tables.meters.borrow();
        for i in 0..tables.slots() {
            let meter = |place| meters.get(meter_index(i, place) as usize).copied();
            let session = tables.sessions.get(i as usize).copied();
            let slot = Slot {
                session: session.unwrap_or_default(),
                meters: [0, 1].map(|place| meter(place).unwrap_or_default()),
            };
            slots.set(i, slot, 0)?;
        }
        let mut next_hops: Array<&mut MapData, NextHop> = self.map(maps::NEXT_HOPS)?.try_into()?;
        for (i, next_hop) in tables.next_hops.iter().enumerate() {
            next_hops.set(i as u32, next_hop, 0)?;
        }
        let mut paces: Array<&mut MapData, Paces> = self.map(maps::PACES)?.try_into()?;
        paces.set(0, tables.paces, 0)?;
        let mut known: Array<&mut MapData, [u64; KNOWN_WAYS]> =
            self.map(maps::KNOWN)?.try_into()?;
        for (i, bucket) in tables.known.iter().enumerate() {
            let word = |k: &Known| u64::from(k.tag.get()) << 32;
            known.set(i as u32, bucket.0.each_ref().map(word), 0)?;
        }
        self.set_card(1, TEST_RUN_INGRESS)
    }

    /// What the program knows of the RTP streams of one direction of a session.
    pub fn streams(&mut self, index: u32) -> Result<Streams> {
        let map: Array<&mut MapData, Streams> = self.map(maps::STREAMS)?.try_into()?;
        Ok(map.get(&index, 0)?)
    }

    /// A meter now.
    pub fn meter(&mut self, index: u32) -> Result<Meter> {
        let (slot, place) = meter_place(index);
        Ok(self.slot(slot)?.meters[place as usize])
    }

    fn map(&mut self, name: &str) -> Result<&mut aya::maps::Map> {
        self.ebpf
            .map_mut(name)
            .with_context(|| format!("map `{name}`"))
    }

    pub fn program(&mut self) -> Result<&mut Xdp> {
        Ok(self
            .ebpf
            .program_mut(programs::RELAY)
            .context("program `relay`")?
            .try_into()?)
    }

    /// Runs one packet once.
    pub fn run(&mut self, frame: &[u8]) -> Result<Outcome> {
        let before = self.snapshot()?;
        let mut out = vec![0; frame.len() + 256];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ..Default::default()
        };
        let result = self
            .program()?
            .test_run(options)
            .context("BPF_PROG_TEST_RUN")?;
        out.truncate(result.data_size_out as usize);
        let (counters, charged, refused) = self.moved_since(&before)?;
        let verdict = match result.return_value {
            1 => Verdict::Drop,
            2 => Verdict::Pass,
            3 => Verdict::Transmit,
            // The card is not in the return value; every case's other card is the one of `fill`.
            4 => Verdict::Redirect(1),
            other => anyhow::bail!("XDP action {other}"),
        };
        Ok(Outcome {
            verdict,
            frame: out,
            counters,
            charged,
            refused,
        })
    }

    /// All counters now.
    pub fn snapshot(&mut self) -> Result<Snapshot> {
        let sessions = self.sessions()?;
        let of = |(slot, session): (usize, &Session)| {
            let legs = session.legs.iter().enumerate();
            legs.map(|(leg, side)| (slot as u32, leg as u32, side.packets, side.bytes))
                .collect::<Vec<_>>()
        };
        Ok(Snapshot {
            counters: self.counters()?,
            charges: sessions.iter().enumerate().flat_map(of).collect(),
            refused: sessions
                .iter()
                .flat_map(|session| session.refused)
                .collect(),
        })
    }

    /// What moved since: counters, and charges of legs.
    pub fn moved_since(&mut self, before: &Snapshot) -> Result<Moved> {
        let after = self.snapshot()?;
        let counters = Counter::ALL.iter().map(|c| {
            (
                *c,
                after.counters[*c as usize] - before.counters[*c as usize],
            )
        });
        let charged = after
            .charges
            .iter()
            .zip(&before.charges)
            .map(|(a, b)| (a.0, a.1, a.2 - b.2, a.3 - b.3));
        let refused = after.refused.iter().zip(&before.refused).enumerate();
        let refused = refused
            .filter(|(_, (after, before))| after != before)
            .map(|(i, _)| (i as u32 / 2, i as u32 % 2));
        Ok((
            counters.filter(|c| c.1 > 0).collect(),
            charged.filter(|c| c.2 > 0 || c.3 > 0).collect(),
            refused.collect(),
        ))
    }

    /// Puts an interface into `CARDS`.
    pub fn set_card(&mut self, card: u32, ifindex: u32) -> Result<()> {
        let mut cards: DevMap<&mut MapData> = self.map(maps::CARDS)?.try_into()?;
        Ok(cards.set(card, ifindex, None, 0)?)
    }

    /// One counter, summed over CPUs.
    pub fn counter(&mut self, counter: Counter) -> Result<u64> {
        let map: PerCpuArray<&mut MapData, u64> = self.map(maps::COUNTERS)?.try_into()?;
        Ok(map.get(&(counter as u32), 0)?.iter().sum())
    }

    fn counters(&mut self) -> Result<Vec<u64>> {
        let map: PerCpuArray<&mut MapData, u64> = self.map(maps::COUNTERS)?.try_into()?;
        (0..Counter::COUNT as u32)
            .map(|i| Ok(map.get(&i, 0)?.iter().sum()))
            .collect()
    }

    fn sessions(&mut self) -> Result<Vec<Session>> {
        let count = self.sessions;
        (0..count)
            .map(|slot| Ok(self.slot(slot)?.session))
            .collect()
    }

    fn slot(&mut self, slot: u32) -> Result<Slot> {
        let map: Array<&mut MapData, Slot> = self.map(maps::SESSIONS)?.try_into()?;
        Ok(map.get(&slot, 0)?)
    }
}
