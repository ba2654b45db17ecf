//! Whether this user may load and attach programs.

use super::super::facts::{Kernel, Privileges};
use super::{Finding, kernel};

/// Bits of `CapEff`: <https://man7.org/linux/man-pages/man7/capabilities.7.html>.
const NET_ADMIN: u32 = 12;
const SYS_ADMIN: u32 = 21;
const PERFMON: u32 = 38;
const BPF: u32 = 39;
/// CAP_BPF came with 5.8; before, all of it was CAP_SYS_ADMIN.
const CAP_BPF_SINCE: (u32, u32) = (5, 8);

pub fn check(privileges: &Privileges, kernel: &Kernel) -> Finding {
    let has = |bit: u32| privileges.effective & (1 << bit) != 0;
    let old = kernel::version(&kernel.release).is_some_and(|version| version < CAP_BPF_SINCE);
    let mut missing = Vec::new();
    if !has(NET_ADMIN) {
        missing.push("CAP_NET_ADMIN");
    }
    if !has(SYS_ADMIN) {
        match old {
            true => missing.push("CAP_SYS_ADMIN"),
            false => {
                missing.extend((!has(BPF)).then_some("CAP_BPF"));
                missing.extend((!has(PERFMON)).then_some("CAP_PERFMON"));
            }
        }
    }
    let subject = format!("user {}", privileges.uid);
    if missing.is_empty() {
        return Finding::ok("privileges", subject, "may load and attach programs");
    }
    let missing = missing.join(", ");
    Finding::fail(
        "privileges",
        subject,
        format!("lacks {missing}: everything would be relayed in userspace"),
        format!(
            "run as root, or give the service AmbientCapabilities={}",
            missing.replace(',', "")
        ),
    )
}
