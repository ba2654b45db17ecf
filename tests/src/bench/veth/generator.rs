//! Live frames out of a veth: `BPF_PROG_TEST_RUN` with the lab's `generate` program, on CPU 0.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use aya::maps::{Array, MapData, PerCpuArray};
use aya::programs::{TestRun, TestRunAttrs, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::bench::packet::shared::Harness;
use crate::netns::NetNs;
use crate::privileged;

/// A loaded generator with its packet.
pub struct Generator<'n> {
    namespace: &'n NetNs,
    ifindex: u32,
    frame: Vec<u8>,
    ebpf: Ebpf,
    /// Turns a second.
    rate: f64,
}

/// A packet and how flows differ from it.
pub type Template = (Harness, Vec<u8>);

impl<'n> Generator<'n> {
    /// `pace` packets per second, or as many as go.
    pub fn new(
        namespace: &'n NetNs,
        card: &str,
        template: Template,
        pace: Option<u64>,
    ) -> Result<Self> {
        let object = privileged::object("lab-xdp.o").context("the lab's XDP object")?;
        let mut ebpf = EbpfLoader::new().load(&object)?;
        let program: &mut Xdp = ebpf
            .program_mut("generate")
            .context("program generate")?
            .try_into()?;
        program.load()?;
        let ifindex = namespace
            .run("cat", &[&format!("/sys/class/net/{card}/ifindex")])?
            .trim()
            .parse()?;
        let (harness, frame) = template;
        let mut generator = Self {
            namespace,
            ifindex,
            frame,
            ebpf,
            rate: 0.0,
        };
        generator.set(harness)?;
        generator.calibrate()?;
        if let Some(pace) = pace {
            // The pace of the loop when it sends next to nothing tells which share of its turns to use.
            generator.set(Harness {
                one_in: 1 << 20,
                ..harness
            })?;
            generator.calibrate()?;
            generator.set(Harness {
                one_in: (generator.rate / pace as f64).max(1.0) as u32,
                ..harness
            })?;
            generator.calibrate()?;
        }
        Ok(generator)
    }

    /// Learns how often the program runs in a second.
    fn calibrate(&mut self) -> Result<()> {
        let start = Instant::now();
        let turns = self.call(1 << 19)?;
        self.rate = turns as f64 / start.elapsed().as_secs_f64();
        Ok(())
    }

    fn set(&mut self, harness: Harness) -> Result<()> {
        let mut map: Array<&mut MapData, Harness> = self
            .ebpf
            .map_mut("HARNESS")
            .context("map HARNESS")?
            .try_into()?;
        Ok(map.set(0, harness, 0)?)
    }

    /// Runs for about as long, in one system call: each waits for grace periods. How often the program ran.
    pub fn run(&mut self, time: Duration) -> Result<u64> {
        let turns = (self.rate * time.as_secs_f64()) as u32;
        self.call(turns.max(64))
    }

    fn call(&mut self, turns: u32) -> Result<u64> {
        let mut context = [0u32; 6];
        context[1] = self.frame.len() as u32;
        context[3] = self.ifindex;
        let context: Vec<u8> = context.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let program: &mut Xdp = self
            .ebpf
            .program_mut("generate")
            .context("program generate")?
            .try_into()?;
        let (program, frame) = (&*program, &self.frame);
        self.namespace.enter(move || {
            let mut cpu = CpuSet::new();
            cpu.set(0)?;
            sched_setaffinity(Pid::from_raw(0), &cpu)?;
            let options = TestRunOptions {
                data_in: Some(frame),
                ctx_in: Some(&context),
                repeat: turns,
                attrs: TestRunAttrs::new().xdp_live_frames(64),
                ..Default::default()
            };
            program.test_run(options).context("live frames")?;
            Ok(u64::from(turns))
        })
    }

    pub fn sent(&self) -> Result<u64> {
        per_cpu_sum(&self.ebpf, "SENT")
    }
}

/// First value of a per-CPU array, over all CPUs.
pub fn per_cpu_sum(ebpf: &Ebpf, map: &str) -> Result<u64> {
    let map: PerCpuArray<&MapData, u64> = ebpf
        .map(map)
        .with_context(|| format!("map {map}"))?
        .try_into()?;
    Ok(map.get(&0, 0)?.iter().sum())
}
