//! The harness with one target, in the kernel.

use anyhow::{Context, Result, ensure};
use aya::maps::{Array, MapData, ProgramArray};
use aya::programs::{TestRun, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};

use super::shared::Harness;

/// What the targets that only read and write have for it: powers of two.
#[derive(Clone, Copy)]
pub struct Memory {
    pub entries: u32,
    pub slots: u32,
}

impl Memory {
    /// For all other targets.
    pub const NONE: Memory = Memory {
        entries: 1,
        slots: 1,
    };
}

/// The harness program with one target.
pub struct Rig {
    ebpf: Ebpf,
}

impl Rig {
    pub fn new(lab: &[u8], harness: Harness, memory: Memory) -> Result<Self> {
        let mut ebpf = EbpfLoader::new()
            .map_max_entries("INDEX", memory.entries)
            .map_max_entries("SLOTS", memory.slots)
            .override_global("INDEX_MASK", &(memory.entries - 1), true)
            .override_global("SLOT_MASK", &(memory.slots - 1), true)
            .load(lab)
            .context("load the lab object")?;
        let mut map: Array<&mut MapData, Harness> =
            ebpf.map_mut("HARNESS").context("map HARNESS")?.try_into()?;
        map.set(0, harness, 0)?;
        let program: &mut Xdp = ebpf
            .program_mut("harness")
            .context("program harness")?
            .try_into()?;
        program.load()?;
        Ok(Self { ebpf })
    }

    pub fn aim(&mut self, name: &str) -> Result<()> {
        let program: &mut Xdp = self
            .ebpf
            .program_mut(name)
            .with_context(|| format!("program {name}"))?
            .try_into()?;
        program.load()?;
        let fd = program.fd()?.try_clone()?;
        let mut target: ProgramArray<&mut MapData> = self
            .ebpf
            .map_mut("TARGET")
            .context("map TARGET")?
            .try_into()?;
        Ok(target.set(0, &fd, 0)?)
    }

    pub fn aim_at(&mut self, program: &Xdp) -> Result<()> {
        let mut target: ProgramArray<&mut MapData> = self
            .ebpf
            .map_mut("TARGET")
            .context("map TARGET")?
            .try_into()?;
        Ok(target.set(0, program.fd()?, 0)?)
    }

    /// Nanoseconds a packet.
    pub fn run(&mut self, frame: &[u8], packets: u32) -> Result<f64> {
        let program: &mut Xdp = self
            .ebpf
            .program_mut("harness")
            .context("program harness")?
            .try_into()?;
        let options = TestRunOptions {
            data_in: Some(frame),
            repeat: packets,
            ..Default::default()
        };
        let result = program.test_run(options)?;
        ensure!(
            matches!(result.return_value, 2 | 3),
            "the target returned XDP action {}",
            result.return_value
        );
        Ok(result.duration.as_nanos() as f64)
    }
}
