//! Whether the kernel believes its time of day to be synchronised. Sets nothing.

/// `STA_UNSYNC` of `adjtimex(2)` is cleared by whoever steers the clock.
pub fn synchronised() -> Option<bool> {
    // SAFETY: all zero is a valid `timex`: plain integers; with `modes` 0 nothing is changed.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: a pointer to a whole `timex` that lives through the call.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    (state >= 0).then_some(timex.status & libc::STA_UNSYNC == 0)
}
