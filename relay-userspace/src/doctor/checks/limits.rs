//! Limits of the process: open files, and on old kernels locked memory.

use super::super::facts::{Kernel, Limits};
use super::{Finding, kernel};

/// Beside a socket a session: listeners, maps, the admin socket.
const REST: u64 = 256;
/// Since 5.11 BPF memory belongs to the cgroup: <https://git.kernel.org/torvalds/c/bdb7b79b4ce8>.
const NO_LOCKED_MEMORY: (u32, u32) = (5, 11);

pub fn check(limits: &Limits, kernel: &Kernel) -> Vec<Finding> {
    let mut findings = vec![open_files(limits)];
    let old = kernel::version(&kernel.release).is_some_and(|version| version < NO_LOCKED_MEMORY);
    if old && limits.locked_memory.is_some_and(|limit| limit != u64::MAX) {
        findings.push(Finding::warn(
            "limits",
            "locked memory",
            "limited, and this kernel accounts kernel tables to it",
            "LimitMEMLOCK=infinity in the unit, or ulimit -l unlimited",
        ));
    }
    findings
}

fn open_files(limits: &Limits) -> Finding {
    let wanted = limits.sockets_wanted + REST;
    match limits.open_files {
        None => Finding::warn(
            "limits",
            "open files",
            "cannot be read",
            "ulimit -Hn shows it",
        ),
        Some(limit) if limit >= wanted => Finding::ok(
            "limits",
            "open files",
            format!("{limit}, {wanted} may be needed"),
        ),
        Some(limit) => Finding::warn(
            "limits",
            "open files",
            format!(
                "{limit}, but {wanted} may be needed: an allocation or forward session is a socket"
            ),
            format!(
                "LimitNOFILE={wanted} in the unit, or ulimit -Hn {wanted}; or lower limits.allocations"
            ),
        ),
    }
}
