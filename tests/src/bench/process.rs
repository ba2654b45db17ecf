//! What a process costs: run time of its threads, memory of its own. Reads /proc.

use std::time::Duration;

use anyhow::{Context, Result};

/// Its threads.
pub fn tasks(pid: u32) -> Result<Vec<u32>> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"))
        .with_context(|| format!("the threads of process {pid}"))?
        .flatten();
    tasks
        .map(|task| Ok(task.file_name().to_string_lossy().parse()?))
        .collect()
}

/// Of all its threads so far.
pub fn run_time(pid: u32) -> Result<Duration> {
    Ok(Duration::from_nanos(run_time_of(&tasks(pid)?)))
}

/// Nanoseconds.
pub fn run_time_of(tasks: &[u32]) -> u64 {
    let of = |task: &u32| -> Option<u64> {
        let text = std::fs::read_to_string(format!("/proc/{task}/schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    tasks.iter().filter_map(of).sum()
}

/// utime and stime so far, in ticks of 10 ms.
pub fn user_and_system(pid: u32) -> Result<[f64; 2]> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may hold anything.
    let (_, rest) = stat.rsplit_once(')').context("a name in stat")?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut next = || -> Result<f64> { Ok(fields.next().context("a field in stat")?.parse()?) };
    Ok([next()?, next()?])
}

/// Bytes of the resident set that are its own.
pub fn resident(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .context("RssAnon in status")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024.0)
}
